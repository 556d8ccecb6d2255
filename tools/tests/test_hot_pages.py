"""Which names a hot page gets, and what is said of files that don't serve."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import tempfile
import unittest

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "hot-pages")
loader = importlib.machinery.SourceFileLoader("hot_pages", PATH)
hot_pages = importlib.util.module_from_spec(importlib.util.spec_from_loader("hot_pages", loader))
loader.exec_module(hot_pages)

MAP = "c1000000 T _text\nc1001ff0 d tick_lock\nc1002000 D jiffies\nc1002800 D rq\nc1003000 D big\nc1006000 B _end\n"
LOG = (
    "[    1.0 node0] [    0.1] n0.c0 dsm: hot page: gfn 0x1002, asked for 30 times\n"
    "[    1.0 node0] [    0.1] n0.c0 dsm: hot page: gfn 0x7d2b, asked for 40 times\n"
    "[    1.0 node1] [    0.1] n1.c0 dsm: hot page: gfn 0x1002, asked for 20 times\n"
)


class HotPages(unittest.TestCase):
    def setUp(self):
        self.symbols = hot_pages.read_symbols(MAP.splitlines(), "map")

    def run_with(self, symbols, log):
        out, err = io.StringIO(), io.StringIO()
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("map", symbols), ("log", log)):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.write(text)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = hot_pages.main([os.path.join(folder, "map"), os.path.join(folder, "log")])
        return code, out.getvalue(), err.getvalue()

    def test_a_page_has_what_begins_in_it_and_what_reaches_into_it(self):
        self.assertEqual(hot_pages.in_page(self.symbols, 0x1002, 0xC0000000), ["tick_lock", "jiffies", "rq"])
        self.assertEqual(hot_pages.in_page(self.symbols, 0x1005, 0xC0000000), ["big"])

    def test_memory_outside_of_the_image_has_no_name(self):
        self.assertEqual(hot_pages.in_page(self.symbols, 0x0FFF, 0xC0000000), [])
        self.assertEqual(hot_pages.in_page(self.symbols, 0x1006, 0xC0000000), [])

    def test_the_logs_of_all_nodes_count_together(self):
        code, out, _ = self.run_with(MAP, LOG)
        self.assertEqual(code, 0)
        rows = out.splitlines()[1:]
        self.assertEqual(rows[0].split()[:3], ["0x1002", "50", "tick_lock,"])
        self.assertEqual(rows[1].split()[:3], ["0x7d2b", "40", "-"])

    def test_what_does_not_serve_gets_a_sentence(self):
        for symbols, log, part in (
            ("hello\n", LOG, "line 1 is no symbol"),
            ("00000000 T _text\n", LOG, "no address but 0"),
            (MAP, "nothing\n", "no 'hot page'"),
        ):
            code, _, err = self.run_with(symbols, log)
            self.assertEqual(code, 2)
            self.assertIn(part, err)


if __name__ == "__main__":
    unittest.main()
