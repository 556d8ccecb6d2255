#!/usr/bin/env python3
"""
The in-guest suite on one node with AMD-V and two CPUs, in short: nothing that two CPUs can do is left
out. Then what page tables matter to once more, on the kernel whose tables have PAE's format.
"""

import os

from harness import BUILD, DIRECT, check, run_suite

NODE = (*DIRECT, "--cores", "2", "--mem", "192", "--node-ram", "384", "--timeout", "900")

said = run_suite("suite=check,hotplug,bench iters=2000 timeout=120", *NODE)
check("needs 2 CPUs" not in said, "the guest has fewer than 2 CPUs")

pae = ("--guest", os.path.join(BUILD, "guest/linux-pae"))
said = run_suite("suite=tlb,process,code,atomic.split,memory,hotplug iters=2000 timeout=120 fill=free",
                 *NODE, *pae, logs="pae")
check("-686-pae i686, 2 CPUs" in said, "this is not the PAE kernel on 2 CPUs")
