/* What the list of the nodes that serve a keyring needs inside of this folder. */
#pragma once

#include "keys/keys.h"

/* In the order of the names, as the record has them. */
void hf_serve_on_sort(struct hf_serve_on *list);
