#include "hakmem/remote_free/remote_free.c"

#include "hakmem/testing/schedules/doors.h"

void door_notify_owner(hak_slab* slab) { (void)notify_owner(slab); }

void door_post_late(hak_slab* slab, hak_mailbox* mailbox) {
  hak_u32_exchange_seq(&slab->pending, 1);
  push_to_mailbox(mailbox, slab);
}

void door_release_mailbox(hak_slab* slab) { hak_ptr_store_seq(&slab->mailbox, NULL); }
