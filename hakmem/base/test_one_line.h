// What a death test says of all that a program leaves on stderr.
#ifndef HAKMEM_BASE_TEST_ONE_LINE_H_
#define HAKMEM_BASE_TEST_ONE_LINE_H_

#include <string>

/** A regular expression: this line and nothing else. qemu-user, where it runs the test, adds one of its own. */
inline std::string OneLine(const std::string& text) { return "^" + text + "\n(qemu: uncaught .*\n)?$"; }

#endif  // HAKMEM_BASE_TEST_ONE_LINE_H_
