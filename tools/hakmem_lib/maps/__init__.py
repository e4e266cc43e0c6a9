"""What `hakmem map` is made of.

    model       a heap block by block, as numbers and bitmaps, and the JSON that snapshots and pages have of it
    capture     the model of a running process, or of a core file
    store       snapshots: files of the model
    diff        two snapshots laid over each other
    page        the page: page.html, page.css and page.js with the model in it
"""
