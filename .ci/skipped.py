# SPDX-License-Identifier: BSD-3-Clause
"""Prints the modules of which tests were skipped because an import failed, by pytest's report in JUnit's form."""

import re
import sys
import xml.etree.ElementTree as ElementTree

modules = set()
for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
    for skipped in case.iter("skipped"):
        if re.search("could not import|is not installed", f"{skipped.get('message')} {skipped.text}"):
            name = f"{case.get('classname')} {case.get('name')}"
            modules.add(re.search(r"tests\.(test_\w+)", name)[1])
for module in sorted(modules):
    print(f"tests/{module}.py")
