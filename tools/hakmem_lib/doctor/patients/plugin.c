/* A library with thread-local variables at a fixed place, which a program that loads it late must find room for. */
__attribute__((visibility("default"))) char* plugin_room(void);

static __thread char room[PLUGIN_BYTES] __attribute__((tls_model("initial-exec")));

char* plugin_room(void) { return room; }
