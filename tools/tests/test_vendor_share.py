"""What counts as a line of code, and to whom it counts."""

import importlib.machinery
import importlib.util
import os
import tempfile
import unittest

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "vendor-share")
loader = importlib.machinery.SourceFileLoader("vendor_share", PATH)
vendor_share = importlib.util.module_from_spec(importlib.util.spec_from_loader("vendor_share", loader))
loader.exec_module(vendor_share)


class VendorShare(unittest.TestCase):
    def test_comments_and_blank_lines_do_not_count(self):
        self.assertEqual(vendor_share.count("/* one\n two */\n\nint a; /* b */\n// c\n  \nint d; // e\n"), 2)

    def test_what_looks_like_a_comment_in_a_string_is_code(self):
        self.assertEqual(vendor_share.count('char *a = "/*",\n     b = \'"\',\n     *c = "\\"*/";\n'), 3)

    def test_each_room_gets_its_own(self):
        with tempfile.TemporaryDirectory() as root:
            for path in ("hv/vmx/a.c", "hv/svm/b.S", "hv/svmother/c.h", "hv/main.c", "tests/d.c", "hv/vmx/e.txt"):
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write("one\ntwo\n")
            self.assertEqual(vendor_share.measure(root), {"hv/vmx": [2, 1], "hv/svm": [2, 1], "outside": [4, 2]})


if __name__ == "__main__":
    unittest.main()
