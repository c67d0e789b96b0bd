"""Triton kernels run in Triton's interpreter, which is decided when triton is imported."""

import os
import signal

os.environ["TRITON_INTERPRET"] = "1"
# a shell starts what runs in the background deaf to Ctrl-C, and so would be the programs under test
signal.signal(signal.SIGINT, signal.default_int_handler)
