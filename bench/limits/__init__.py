# SPDX-License-Identifier: BSD-3-Clause
"""``python -m bench --limits``: how near xent_native comes to what the machine can do, each figure beside its target.

The numbers to reach are in :mod:`.targets`. Each of the other modules measures one kind of figure and returns
lines (:mod:`.line`); :mod:`.parts` lists them, :mod:`.session` is what they share, :mod:`.report` prints.
"""
