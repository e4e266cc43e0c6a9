"""Heap profiles (`hakmem prof`; hakmem/profile is what samples).

    data        what was sampled, read from a file or out of a process
    symbols     addresses of code to functions and lines
    views       what is live, was live at the peak, leaks, pins memory: bytes by call stack
    pprof       pprof's profile.proto
    flame       flame graphs as SVG
"""
