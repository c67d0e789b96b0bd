"""Triton kernels run in Triton's interpreter, which is decided when triton is imported."""

import os

os.environ["TRITON_INTERPRET"] = "1"
