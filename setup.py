"""Maps the top-level folders to packages, so that new sub-packages are found by themselves."""

from setuptools import find_packages, setup

FOLDERS = {
    "palimpsest": "clients/python",
    "palimpsest.v1": "protos/palimpsest/v1",
    "palimpsest.engine": "engine",
    "palimpsest.kernels": "kernels",
    "palimpsest.server": "server",
}

setup(
    package_dir=FOLDERS,
    packages=[
        name
        for package, folder in FOLDERS.items()
        for name in (package, *(f"{package}.{below}" for below in find_packages(folder)))
    ],
)
