/* What config.c and sources.c share. */
#ifndef HAKMEM_CONFIG_CONFIG_INL_H_
#define HAKMEM_CONFIG_CONFIG_INL_H_

#include "hakmem/base/slice.h"
#include "hakmem/config/config.h"

HAK_BEGIN_DECLS

typedef enum hak_config_case { HAK_CONFIG_UPPER, HAK_CONFIG_LOWER } hak_config_case;

/* The option of this name, or HAK_OPTION_COUNT. */
hak_option hak_config_find(hak_slice name, hak_config_case letters);

/* 0, EINVAL or ENOMEM. */
int hak_config_apply(hak_option option, hak_slice value, hak_config_source source);

/* Why hak_config_apply would not have it: "not a number from 0 to 8". */
void hak_config_print_reason(hak_print* out, hak_option option, int error);

/* Items name:value between commas and line ends; a # at the beginning of a line or after a blank makes the rest of the
 * line a comment. What is no option, or no value of it, is named on stderr. */
void hak_config_load_list(hak_slice list, hak_config_source source);

/* HAKMEM_CONF, then the variables of single options. */
void hak_config_load_environment(char** environment);

/* The file, if there is one and it can be read: its first 16 KiB, up to the end of a line. */
void hak_config_load_file(const char* path);

HAK_END_DECLS

#endif /* HAKMEM_CONFIG_CONFIG_INL_H_ */
