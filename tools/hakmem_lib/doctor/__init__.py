"""What `hakmem doctor` is made of.

Modules, bottom up (each imports only those above it):

    finding     a finding, its severity and its fix
    files       the files of the machine, or of a test
    calls       constant arguments of calls, read from machine code
    elf         what one ELF file says
    libraries   which files a program loads
    cgroup      the limits of a container
    subject     the program or process under examination: every fact that the checks look at
    checks_program, checks_system, checks_process
                the checks: facts in, findings out
    examine     gathers the facts and makes the findings
"""
