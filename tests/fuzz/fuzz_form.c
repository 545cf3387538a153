/* Version names: what is split is put together again the same. */
#include "base/alloc.h"
#include "base/text.h"
#include "fuzz.h"
#include "hadoop/hadoop_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_AUTO_STRING name = hf_strndup((const char *)data, size);
    HF_AUTO(buf) key = hf_buf_new();
    uint32_t version = 0;

    if (split_version_name(name, key, &version)) {
        hf_buf_add_text(key, "@");
        hf_decimal_add(key, version);
        fuzz_require(strcmp(hf_buf_text(key), name) == 0);
    }
    return 0;
}
