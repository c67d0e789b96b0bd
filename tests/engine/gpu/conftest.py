import interpreted as interpreted
