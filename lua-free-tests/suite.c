
#include <stdio.h>
#include "suite.h"


static int suite_unescape(canary_str_t s, buffer_t *out);


int
suite_read_record(const char *path, buffer_t *record)
{
    int          rc;
    char        *end, *line, *tab;
    buffer_t     file, name, value;

    file = (buffer_t) { 0 };

    if (read_file(path, &file) != 0) {
        return -1;
    }

    buffer_add(record, "", 0);
    buffer_add(&file, "", 1);

    rc = 0;

    for (line = file.data; rc == 0 && *line != '\0'; line = end + 1) {
        end = strchr(line, '\n');
        tab = strchr(line, '\t');

        if (end == NULL || tab == NULL || tab > end) {
            rc = -1;
            break;
        }

        *end = '\0';
        *tab = '\0';

        name = (buffer_t) { 0 };
        value = (buffer_t) { 0 };

        if (suite_unescape(text_str(line), &name) != 0
            || suite_unescape(text_str(tab + 1), &value) != 0)
        {
            rc = -1;
        }

        buffer_add_field(record, buffer_str(&name), buffer_str(&value));

        buffer_free(&name);
        buffer_free(&value);
    }

    buffer_free(&file);

    return rc;
}


static int
suite_unescape(canary_str_t s, buffer_t *out)
{
    char    c, hex[3];
    size_t  i;

    buffer_add(out, "", 0);

    for (i = 0; i < s.len; i++) {
        c = s.data[i];

        if (c == '\\') {
            switch (s.data[++i]) {

            case 'n':
                c = '\n';
                break;

            case 't':
                c = '\t';
                break;

            case '\\':
                break;

            case 'x':
                if (s.len - i <= 2) {
                    return -1;
                }

                memcpy(hex, s.data + i + 1, 2);
                hex[2] = '\0';

                c = (char) strtoul(hex, NULL, 16);
                i += 2;
                break;

            default:
                return -1;
            }
        }

        buffer_add(out, &c, 1);
    }

    return 0;
}
