/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/cmd/dump_head.c - header, key slots and root records
 */
#include <errno.h>
#include <stdio.h>

#include "fspf/cmd/dump.h"
#include "fspf/cmd/json.h"
#include "fspf/cmd/slots.h"

static json_t *header_json(const struct fspf_header *h)
{
	json_t *json = json_object();

	json_object_set_new(json, "volume_id", json_hex(h->volume_id, sizeof(h->volume_id)));
	json_object_set_new(json, "format", json_number(h->version));
	json_object_set_new(json, "keyed", json_boolean(h->keyed));
	json_object_set_new(json, "segment_blocks", json_number(h->segment_blocks));
	json_object_set_new(json, "size_blocks", json_number(h->size_blocks));
	json_object_set_new(json, "digest", json_tag(&h->digest));
	return json;
}

static json_t *keyslots_json(struct dump *d)
{
	struct crypto_keyslot_info info[FSPF_KEYSLOTS];

	for (unsigned i = 0; i < FSPF_KEYSLOTS; i++) {
		if (crypto_keyslot_info(&d->keyslots.slot[i], &info[i])) {
			info[i].kind = CRYPTO_KEYSLOT_EMPTY;
			d->damage = true;
		}
	}
	return key_slots_json(info);
}

static json_t *region_json(const struct fspf_region_record *r)
{
	json_t *json = json_object();

	json_object_set_new(json, "id", json_number(r->id));
	json_object_set_new(json, "class", json_string(protection_name(r->protection)));
	json_object_set_new(json, "prefix", json_name(r->prefix));
	if (r->host[0])
		json_object_set_new(json, "kernel", json_name(r->host));
	json_object_set_new(json, "ephemeral", json_boolean(r->flags & FSPF_REGION_EPHEMERAL));
	json_object_set_new(json, "copy_up", json_boolean(r->flags & FSPF_REGION_COPY_UP));
	json_object_set_new(json, "rotating", json_boolean(r->old_sessions > 0));
	json_object_set_new(json, "tag", json_tag(&r->tag));
	json_object_set_new(json, "root", dump_pointer_json(&r->root, fspf_class(r->protection)));
	json_object_set_new(json, "next_object", json_number(r->next_object));
	json_object_set_new(json, "files", json_number(r->files));
	json_object_set_new(json, "blocks", json_number(r->blocks));
	json_object_set_new(json, "unwritten_blocks", json_number(r->unwritten));
	return json;
}

static json_t *sessions_json(const struct fspf_blob *b)
{
	json_t *json = json_object();

	json_object_set_new(json, "addr", json_number(b->addr));
	json_object_set_new(json, "birth", json_number(b->birth));
	json_object_set_new(json, "count", json_number(b->count));
	json_object_set_new(json, "digest", json_tag(&b->digest));
	return json;
}

static json_t *snapshots_json(const struct fspf_root *root)
{
	json_t *json = json_array();

	for (uint32_t i = 0; i < root->nsnapshots; i++) {
		const struct fspf_snapshot *s = &root->snapshot[i];

		json_array_append_new(
			json,
			json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "name", json_name(s->name),
				  "generation", json_number(s->generation), "tag",
				  json_tag(&s->tag), "addr", json_number(s->addr), "birth",
				  json_number(s->birth), "length", json_number(s->length)));
	}
	return json;
}

static void add_sealed_part(json_t *json, const struct fspf_root *root, bool keyed)
{
	json_object_set_new(json, "base", json_tag(&root->base));
	json_object_set_new(json, "space_map",
			    dump_pointer_json(&root->space, keyed ? CRYPTO_CLASS_ENCRYPTED
								  : CRYPTO_CLASS_AUTHENTICATED));
	json_object_set_new(json, "cursor", json_number(root->cursor));
	json_object_set_new(json, "segments", json_number(root->segments));
	json_object_set_new(json, "used_blocks", json_number(root->used));
	json_object_set_new(json, "next_region", json_number(root->next_region));
	json_object_set_new(json, "snapshots", snapshots_json(root));
}

static json_t *root_json(const struct fspf_root *root, bool keyed)
{
	json_t *json = json_object(), *regions = json_array();

	json_object_set_new(json, "generation", json_number(root->generation));
	json_object_set_new(json, "previous", json_tag(&root->previous));
	if (keyed) {
		json_object_set_new(json, "salt", json_hex(root->salt.b, sizeof(root->salt.b)));
		json_object_set_new(json, "counter", json_number(root->counter));
		json_object_set_new(json, "mac", json_hex(root->mac.b, sizeof(root->mac.b)));
	}
	json_object_set_new(json, "policy", json_number(root->policy));
	if (keyed)
		json_object_set_new(json, "sessions", sessions_json(&root->sessions));
	json_object_set_new(json, "encrypted_regions", json_number(root->capsules));
	json_object_set_new(json, "sealed_part",
			    json_string(!keyed	       ? "not sealed"
					: root->opened ? "opened"
						       : "not opened: no key was given"));
	if (root->opened)
		add_sealed_part(json, root, keyed);
	for (uint32_t i = 0; i < root->nregions; i++)
		json_array_append_new(regions, region_json(&root->region[i]));
	json_object_set_new(json, "regions", regions);
	return json;
}

static json_t *slot_json(const struct dump *d, unsigned i)
{
	const struct dump_slot *slot = &d->slot[i];
	json_t *json = json_object();

	json_object_set_new(json, "slot", json_number(i));
	json_object_set_new(json, "block",
			    json_number(FSPF_ROOT_SLOT0 + (uint64_t)i * FSPF_ROOT_SLOT_BLOCKS));
	if (slot->root) {
		json_object_set_new(json, "state",
				    json_string(d->chosen == (int)i ? "chosen" : "whole"));
		json_object_set_new(json, "tag", json_tag(&slot->tag));
		json_object_set_new(json, "record", root_json(slot->root, d->header.keyed));
	} else {
		json_object_set_new(json, "state",
				    json_string(slot->error == -ENOENT ? "empty"
						: slot->error == -EBADMSG
							? "damaged"
							: strerror(-slot->error)));
	}
	return json;
}

json_t *dump_head_json(struct dump *d)
{
	json_t *json = json_object(), *slots = json_array();

	json_object_set_new(json, "header", header_json(&d->header));
	json_object_set_new(json, "key_slots", keyslots_json(d));
	for (unsigned i = 0; i < 2; i++)
		json_array_append_new(slots, slot_json(d, i));
	json_object_set_new(json, "root_slots", slots);
	if (d->snapshot)
		json_object_set_new(json, "snapshot_record",
				    root_json(d->snapshot, d->header.keyed));
	return json;
}
