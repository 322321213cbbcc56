/* SPDX-License-Identifier: Apache-2.0 */
/* The room's start: once, from whatever thread comes first. */
#include <pthread.h>

#include "crypto/selftest.h"
#include "test_crypto.h"

static void *init(void *ret)
{
	*(int *)ret = crypto_init();
	return NULL;
}

static void threads_may_race_to_start(void **state)
{
	pthread_t threads[8];
	int results[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		results[i] = 1;
		assert_int_equal(pthread_create(&threads[i], NULL, init, &results[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(results[i], 0);
	}
	assert_int_equal(crypto_init(), 0);
}

/* The kernel's opinion, on processors that it lists in these words. */
static void aes_instructions_are_recognised(void **state)
{
	bool listed = false;
	char line[8192];
	FILE *cpuinfo;

	(void)state;
	cpuinfo = fopen("/proc/cpuinfo", "re");
	if (!cpuinfo)
		skip();
	while (!listed && fgets(line, sizeof(line), cpuinfo)) {
		if (strncmp(line, "flags", 5) == 0)
			listed = strstr(line, " aes ") && strstr(line, " pclmulqdq ");
		else if (strncmp(line, "Features", 8) == 0)
			listed = strstr(line, " aes ") && strstr(line, " pmull ");
	}
	(void)fclose(cpuinfo);
	assert_int_equal(crypto_has_aes_instructions(), listed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_may_race_to_start),
		cmocka_unit_test(aes_instructions_are_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
