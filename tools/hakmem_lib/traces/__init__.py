"""Behind `hakmem trace`, `hakmem replay` and `hakmem advise`.

    tools       the recorder and the replayer: built on demand or given; what the replayer says
    columns     the allocators that a trace is played on
    summary     what a trace says about the program, for people
    settings    the options that advise tries
    advice      what came of them, against the noise
"""
