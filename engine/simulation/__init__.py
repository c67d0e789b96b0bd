"""The scheduler of serving against loads and machines we do not have, in simulated time."""
