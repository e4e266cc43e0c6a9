"""The `hakmem` command.

Modules, bottom up (each imports only those above it):

    errors      what ends a command with one line and status 2
    library     the library to preload: built on demand or given
    memory      memory that can be read: LiveProcess(pid), or a test's own kind of Memory
    core_file   that of a core file: CoreFile(path)
    elf         where in a memory `hak_view` lies
    view        structures by field and variables by name, as `hak_view` describes them: view.attach(memory) -> View
    heap        the heap walked from outside: heap.Walker(view).snapshot() -> Snapshot
    option_table, option_docs
                the table of options, and the documents made from it
    doctor/     what `hakmem doctor` is made of
    resident    which resident pages are HAKMEM's, reconciled with the kernel's figures
    figures     a snapshot as plain numbers: what `hakmem stat --json` prints
    rates       two of these: what happened in between
    text        sizes and columns;  screen: the frames of `hakmem top`
    commands/   one module a command: SUMMARY, add_arguments(parser), run(options) -> status
    cli         the command line

To look into a process:

    walker = heap.Walker(view.attach(memory.LiveProcess(pid)))     # CommandError: cannot be, and why
    snapshot = walker.snapshot()                                   # SuperSlabs, slabs, heaps, whales
    for slab in snapshot.slabs():
        free = walker.bitmap(slab)                                 # bit i: block i is free in the slab
    word, owner = walker.look_up(address)                          # what the registry says of an address

What is read while the process runs may be torn: a Snapshot has left out what cannot be, and counts it in `doubts`. A structure
that no module here knows yet is read by its names: view.read("whale", address)["size_bytes"]. The C side adds it
beside the structure (hakmem/base/view_part.h); words to be written to are in hakmem/base/control.h.
"""
