/* What differs between two configurations: each keeps its values as they were read. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/config.h"
#include "config/schema.h"

struct hf_config_value {
    const struct row *row; /* NULL: says that there is the section */
    const char *section;
    char *title;
    struct hf_buf text;
};

static struct hf_config_value *add_value(struct hf_config *config, const char *section,
                                         const char *title)
{
    struct hf_config_value *value;

    config->values =
        hf_realloc_array(config->values, config->value_count + 1, sizeof *config->values);
    value = &config->values[config->value_count++];
    *value = (struct hf_config_value){ .section = section, .title = hf_strdup(title) };
    return value;
}

static void add_text(struct hf_buf *out, const cfg_opt_t *opt, const struct row *row, unsigned at)
{
    const char *text = NULL;

    switch (row->type) {
    case ROW_BOOL:
        hf_buf_add_text(out, cfg_opt_getnbool((cfg_opt_t *)opt, at) ? "yes" : "no");
        return;
    case ROW_NUMBER:
        hf_buf_add_format(out, "%ld", cfg_opt_getnint((cfg_opt_t *)opt, at));
        return;
    case ROW_TEXT:
    case ROW_PATH:
    case ROW_TEXTS:
    case ROW_HOSTS:
        break;
    }
    text = cfg_opt_getnstr((cfg_opt_t *)opt, at);
    /* With its end, so that two texts are never taken for one. */
    hf_buf_add(out, text != NULL ? text : "", text != NULL ? strlen(text) + 1 : 0);
}

static void keep_section(cfg_t *cfg, struct hf_config *config, const char *section,
                         const char *title)
{
    for (const struct row *row = hf_config_rows; row->name != NULL; row++) {
        if (strcmp(row->section, section) == 0) {
            cfg_opt_t *opt = cfg_getopt(cfg, row->name);
            struct hf_config_value *value = add_value(config, section, title);

            value->row = row;
            for (unsigned i = 0; i < cfg_opt_size(opt); i++) {
                add_text(&value->text, opt, row, i);
            }
        }
    }
}

void hf_config_keep_values(cfg_t *cfg, struct hf_config *config)
{
    keep_section(cfg, config, "", "");
    for (const struct section *section = hf_config_sections; section->name != NULL; section++) {
        for (unsigned i = 0; i < cfg_size(cfg, section->name); i++) {
            cfg_t *one = cfg_getnsec(cfg, section->name, i);
            const char *title = section->titled ? cfg_title(one) : "";

            (void)add_value(config, section->name, title);
            keep_section(one, config, section->name, title);
        }
    }
}

void hf_config_free_values(struct hf_config *config)
{
    for (size_t i = 0; i < config->value_count; i++) {
        free(config->values[i].title);
        hf_buf_done(&config->values[i].text);
    }
    free(config->values);
}

/* The same setting, or section, of the other configuration; NULL if it is not there. */
static const struct hf_config_value *find(const struct hf_config *config, const char *section,
                                          const char *title, const struct row *row)
{
    for (size_t i = 0; i < config->value_count; i++) {
        const struct hf_config_value *value = &config->values[i];

        if (value->row == row && strcmp(value->section, section) == 0 &&
            strcmp(value->title, title) == 0) {
            return value;
        }
    }
    return NULL;
}

static bool differs(const struct hf_config_value *value, const struct hf_config_value *other)
{
    return !hf_bytes_equal(hf_buf_bytes(&value->text), hf_buf_bytes(&other->text));
}

static void tell(const struct hf_config_value *value,
                 void (*visit)(void *context, const struct hf_config_change *change), void *context)
{
    const struct hf_config_change change = {
        .section = value->section,
        .title = value->title,
        .name = value->row != NULL ? value->row->name : NULL,
        .is_live = value->row != NULL && hf_config_row_is_live(value->row),
    };

    visit(context, &change);
}

void hf_config_compare(const struct hf_config *then, const struct hf_config *now,
                       void (*visit)(void *context, const struct hf_config_change *change),
                       void *context)
{
    for (size_t i = 0; i < then->value_count; i++) {
        const struct hf_config_value *value = &then->values[i];
        const struct hf_config_value *other = find(now, value->section, value->title, value->row);

        /* Of a section that is gone only the section is told. */
        if (other != NULL ? differs(value, other) : value->row == NULL) {
            tell(value, visit, context);
        }
    }
    for (size_t i = 0; i < now->value_count; i++) {
        const struct hf_config_value *value = &now->values[i];

        if (value->row == NULL && find(then, value->section, value->title, NULL) == NULL) {
            tell(value, visit, context);
        }
    }
}
