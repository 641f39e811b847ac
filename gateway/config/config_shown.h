/* config_shown.h: text of gateway.ini as it may stand in a fault: one harmless line, and without the passwords that
 * people write where none belongs. Faults go to the log, to the terminal and into reports.
 *
 * No allocation, no state, nothing blocks.
 */
#ifndef SHMGATE_CONFIG_SHOWN_H
#define SHMGATE_CONFIG_SHOWN_H

#define CONFIG_SHOWN_SIZE 80 /* bytes, with the NUL: enough to find it again */

/* A value of `key`. *** stands for what is, or may be, a password: what stands before an @ in an address and what
 * follows a ? there; a password_file that is no path. Returns `out`. */
const char *config_shown_value(char out[CONFIG_SHOWN_SIZE], const char *key, const char *value);

/* A line, or a part of one, that is no KEY = VALUE: *** stands for all that follows a scheme (mqtt://) or a word like
 * password. Returns `out`. */
const char *config_shown_line(char out[CONFIG_SHOWN_SIZE], const char *line);

#endif
