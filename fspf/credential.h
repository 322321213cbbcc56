/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fspf/credential.h - inside libfspf: what lies behind struct fspf_credential of fspf.h
 *
 * The secret itself is in guarded memory; the struct holds only pointers to it.
 */
#ifndef FSPF_FSPF_CREDENTIAL_H
#define FSPF_FSPF_CREDENTIAL_H

#include "crypto/keyslot.h"

#define FSPF_PASSPHRASE_MAX 1024u /* bytes */

struct fspf_credential {
	struct crypto_credential secret; /* exactly one kind is set */
	struct crypto_key *key;		 /* owned; secret.key */
	char *passphrase;		 /* owned; secret.passphrase */
};

struct fspf_error;

/* @key is taken over, success or not. */
MUST_CHECK int fspf_credential_from_key(struct crypto_key *key, struct fspf_credential **ret,
					struct fspf_error *err);

#endif
