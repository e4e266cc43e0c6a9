#include "hakmem/view/view.h"

#include "hakmem/base/checks.h"
#include "hakmem/base/control.h"
#include "hakmem/config/config.h"
#include "hakmem/heap/heap.h"
#include "hakmem/metadata/metadata.h"
#include "hakmem/os/latency.h"
#include "hakmem/os/os.h"
#include "hakmem/profile/profile.h"
#include "hakmem/recorder/recorder.h"
#include "hakmem/registry/registry.h"
#include "hakmem/shared_pool/shared_pool.h"
#include "hakmem/sites/sites.h"
#include "hakmem/size_class/size_class.h"
#include "hakmem/slab/slab.h"
#include "hakmem/whale_cache/whale_cache.h"
#include <hakmem/hakmem.h>

extern const hak_view_part hak_view_own;

/* What the boxes have no variables for, and the control words. */
#define CLASS_ROWS                                 \
  HAK_VIEW_STRUCTURE("size_class", hak_size_class) \
  HAK_VIEW_FIELDS("size_class", hak_size_class, block_bytes, reciprocal, blocks, units)
#define SLAB_ROWS                                                                                                      \
  HAK_VIEW_STRUCTURE("slab", hak_slab)                                                                                 \
  HAK_VIEW_FIELDS("slab", hak_slab, base, free_bits, remote_bits, superslab, mailbox, block_bytes, reciprocal, blocks, \
                  words, size_class, units, first_unit)                                                                \
  HAK_VIEW_FIELDS("slab", hak_slab, shape, room, free_count, first_word, fresh_word, clean_bits, bin, next, listed,    \
                  asked_bytes, pending, pending_next)                                                                  \
  HAK_VIEW_FIELDS("slab", hak_slab, complete, complete_next)
#define CONTROL_ROW(name) HAK_VIEW_FIELDS("control", hak_control, name)
#define ROWS CLASS_ROWS SLAB_ROWS HAK_VIEW_STRUCTURE("control", hak_control) HAK_CONTROL_WORDS(CONTROL_ROW)
#define ROOTS(ROOT) ROOT("size_classes", hak_size_class_table) ROOT("control", hak_control_words)
HAK_VIEW_PART(hak_view_own, ROWS, ROOTS);

HAK_STATIC_ASSERT(sizeof HAK_VIEW_MAGIC == sizeof(((hak_view_header*)0)->magic), "16 bytes, the NUL among them");

const hak_view_header hak_view = {
    .magic = HAK_VIEW_MAGIC,
    .self = &hak_view,
    .header_bytes = sizeof(hak_view_header),
    .abi = HAK_VIEW_ABI,
    .version = HAK_VERSION_TEXT,
    .build = (HAK_CFG_ASAN ? HAK_VIEW_ASAN : 0) | (HAK_CFG_DEBUG ? HAK_VIEW_DEBUG : 0) |
             (HAK_CFG_PARANOID ? HAK_VIEW_PARANOID : 0),
    .part_count = HAK_VIEW_PARTS,
    .field_bytes = sizeof(hak_view_field),
    .root_bytes = sizeof(hak_view_root),
    .parts = {&hak_view_own, &hak_checks_view, &hak_config_view, &hak_os_view, &hak_registry_view, &hak_metadata_view,
              &hak_heap_view, &hak_superslab_view, &hak_units_view, &hak_give_back_view, &hak_empty_cache_view,
              &hak_figures_view, &hak_whale_cache_view, &hak_latency_view, &hak_profile_view, &hak_recorder_view,
              &hak_sites_view},
};
