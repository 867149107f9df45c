"""Results as one self-contained page for a browser: pictures, tables, the timeline of one run.

``page`` is what a page contains, ``saving`` renders and writes it, ``pictures`` and ``lanes`` draw,
``timeline`` notes what happened in one run, and ``said`` puts figures into sentences.  The page of
a command is made by a module of its own, such as ``compared``.  A page needs jinja2 and matplotlib,
which only ``saving`` and the drawing modules import.  The same content gives the same bytes.
"""
