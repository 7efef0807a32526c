// Where the process gets its options from: the file, the program's own symbol, the environment.
#ifndef LUCID_SETTINGS_H
#define LUCID_SETTINGS_H

// Sets root.live.options. One failing system call when there is no file. A process with more
// rights than its user gets what the machine and the program say, and nothing from its environment.
void settings_read(void (*complain)(const char *line));

#endif
