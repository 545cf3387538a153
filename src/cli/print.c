/* Tables and lines for people. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/command.h"

#define COLUMNS_MAX 12

void cli_print(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
}

/* Names come from other people: control characters must not reach the terminal. */
static void add_clean(struct hf_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == 0x7f) {
            hf_buf_add_format(out, "\\x%02x", c);
        } else {
            hf_buf_add(out, text, 1);
        }
    }
}

void cli_print_name(const char *name)
{
    HF_AUTO(buf) line = hf_buf_new();

    add_clean(line, name);
    cli_print("%s\n", hf_buf_text(line));
}

/* Texts of a list, on one line. */
static void add_list(struct hf_buf *out, const struct hf_json *list)
{
    for (size_t i = 0; i < hf_json_count(list); i++) {
        const char *text = hf_json_string(hf_json_at(list, i));

        hf_buf_add_text(out, i > 0 ? ", " : "");
        add_clean(out, text != NULL ? text : "-");
    }
    hf_buf_add_text(out, hf_json_count(list) == 0 ? "-" : "");
}

void cli_add_value(struct hf_buf *out, const struct hf_json *object, const char *member)
{
    struct hf_env env;
    struct hf_op op;
    const struct hf_json *list = NULL;
    const char *text = NULL;
    uint64_t number = 0;
    bool flag = false;

    hf_env_system(&env);
    hf_op_init(&op, &env);
    if (!hf_json_has(object, member)) {
        hf_buf_add_text(out, "-");
    } else if (hf_json_text_or(&op, object, member, "-", &text).code == HF_OK) {
        add_clean(out, text);
    } else if (hf_json_u64_or(&op, object, member, 0, &number).code == HF_OK) {
        hf_buf_add_format(out, "%llu", (unsigned long long)number);
    } else if (hf_json_bool_or(&op, object, member, false, &flag).code == HF_OK) {
        hf_buf_add_text(out, flag ? "yes" : "no");
    } else if (hf_json_array_or(&op, object, member, &list).code == HF_OK) {
        add_list(out, list);
    }
}

static size_t value_width(const struct hf_json *row, const char *member)
{
    HF_AUTO(buf) value = hf_buf_new();

    cli_add_value(value, row, member);
    return value->len;
}

static void print_row(const struct hf_json *row, const struct cli_column *columns, size_t count,
                      const size_t *widths)
{
    for (size_t c = 0; c < count; c++) {
        HF_AUTO(buf) value = hf_buf_new();

        cli_add_value(value, row, columns[c].member);
        cli_print("%-*s%s", c + 1 < count ? (int)widths[c] : 0, hf_buf_text(value),
                  c + 1 < count ? "  " : "\n");
    }
}

void cli_print_table(const struct hf_json *rows, const struct cli_column *columns, size_t count)
{
    size_t widths[COLUMNS_MAX] = { 0 };

    for (size_t c = 0; c < count; c++) {
        widths[c] = strlen(columns[c].title);
        for (size_t r = 0; r < hf_json_count(rows); r++) {
            size_t width = value_width(hf_json_at(rows, r), columns[c].member);

            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (size_t c = 0; c < count; c++) {
        cli_print("%-*s%s", c + 1 < count ? (int)widths[c] : 0, columns[c].title,
                  c + 1 < count ? "  " : "\n");
    }
    for (size_t r = 0; r < hf_json_count(rows); r++) {
        print_row(hf_json_at(rows, r), columns, count, widths);
    }
}

struct printing {
    const struct hf_json *object;
};

static void print_member(void *context, const char *name, const struct hf_json *value)
{
    const struct printing *printing = context;
    HF_AUTO(buf) text = hf_buf_new();

    if (hf_json_is_object(value) || hf_json_is_array(value)) {
        return;
    }
    cli_add_value(text, printing->object, name);
    cli_print("%s: %s\n", name, hf_buf_text(text));
}

void cli_print_object(const struct hf_json *object)
{
    struct printing printing = { object };

    hf_json_each(object, print_member, &printing);
}
