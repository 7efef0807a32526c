"""What a guest for aarch64 is made of: Debian's packages, unpacked in a folder, and its kernels."""

import re
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from debian import Debian, Missing, say  # noqa: E402  pylint: disable=wrong-import-position

# What runs in the guest, with all it depends on.
GUEST = ["busybox-static", "bash", "dash", "coreutils", "util-linux", "python3", "strace",
         "libelf1", "libcmocka0", "libncursesw6"]
# To build against, without what they depend on: the cross compiler brings a C library.
HEADERS = ["libelf-dev", "libcmocka-dev", "libncurses-dev", "zlib1g-dev"]
KERNELS = {4096: ("linux-image-cloud-arm64", ""), 16384: ("linux-image-arm64-16k", "-backports")}


class Packages:
    def __init__(self, folder):
        self.debian = Debian(folder, "arm64")
        self.folder = self.debian.folder

    def root(self):
        """The folder with a guest's files; made once."""
        sum_of_names = zlib.crc32(" ".join(GUEST + HEADERS).encode())
        whole, growing = self.folder / f"root-{sum_of_names:08x}", self.folder / "root.growing"
        if not whole.is_dir():
            self.debian.unpack([*self.debian.download_with_all(*GUEST),
                                *self.debian.download(self.folder / "headers", *HEADERS)], growing)
            growing.rename(whole)
        return whole

    def kernel(self, page):
        """A kernel with pages of that size; fetched once."""
        place = self.folder / f"kernel-{page}"
        found = sorted(place.glob("boot/vmlinuz-*"))
        if found:
            return found[0]
        name, suite = KERNELS[page]
        self.debian.begin()
        release = self.debian.release + suite
        try:
            meta = self.debian.download(place / "meta", f"{name}/{release}")[0]
        except Missing as wrong:
            raise Missing(f"{name} cannot be had from {release}") from wrong
        image = re.search(r"\blinux-image-[0-9][^ ,]*", say("dpkg-deb", "-f", meta, "Depends"))[0]
        self.debian.unpack(self.debian.download(place / "packages", image), place)
        return sorted(place.glob("boot/vmlinuz-*"))[0]
