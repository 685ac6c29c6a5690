// SPDX-License-Identifier: Apache-2.0
#include "../support.h"

#include <errno.h>
#include <fcntl.h>

#include "fdset.h"

static int is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void places_count_from_one(void **state)
{
	struct fdset set = FDSET_INIT;
	int a = some_fd(), b = some_fd();

	(void)state;
	assert_int_equal(fdset_add(&set, a), 1);
	assert_int_equal(fdset_add(&set, b), 2);
	assert_int_equal(fdset_take(&set, 2), b);
	assert_int_equal(fdset_take(&set, 1), a);
	assert_int_equal(fdset_left(&set), 0);
	close(a);
	close(b);
	fdset_done(&set);
}

static void a_place_gives_once(void **state)
{
	struct fdset set = FDSET_INIT;
	int fd = some_fd();

	(void)state;
	assert_int_equal(fdset_add(&set, fd), 1);
	assert_int_equal(fdset_take(&set, 0), -EBADF);
	assert_int_equal(fdset_take(&set, 2), -EBADF);
	assert_int_equal(fdset_take(&set, UINT32_MAX), -EBADF);
	assert_int_equal(fdset_take(&set, 1), fd);
	assert_int_equal(fdset_take(&set, 1), -EBADF);
	fdset_done(&set);
	assert_true(is_open(fd));
	close(fd);
}

static void done_closes_what_is_left(void **state)
{
	struct fdset set = FDSET_INIT;
	int fds[3] = { some_fd(), some_fd(), some_fd() };

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(fdset_add(&set, fds[i]), i + 1);
	assert_int_equal(fdset_take(&set, 2), fds[1]);
	assert_int_equal(fdset_left(&set), 2);
	fdset_done(&set);
	assert_false(is_open(fds[0]));
	assert_true(is_open(fds[1]));
	assert_false(is_open(fds[2]));
	assert_int_equal(set.n, 0);
	fdset_done(&set);
	close(fds[1]);
}

static void a_full_set_closes_what_it_refuses(void **state)
{
	struct fdset set = FDSET_INIT;

	(void)state;
	for (int i = 0; i < FDSET_MAX; i++)
		assert_int_equal(fdset_add(&set, some_fd()), i + 1);

	int surplus = some_fd();

	assert_int_equal(fdset_add(&set, surplus), -EMFILE);
	assert_false(is_open(surplus));
	assert_int_equal(fdset_left(&set), FDSET_MAX);
	fdset_done(&set);
}

static void move_leaves_nothing_behind(void **state)
{
	struct fdset from = FDSET_INIT, to = FDSET_INIT;
	int a = some_fd(), b = some_fd();

	(void)state;
	assert_int_equal(fdset_add(&from, a), 1);
	assert_int_equal(fdset_add(&from, b), 2);
	assert_int_equal(fdset_take(&from, 1), a);
	fdset_move(&to, &from);
	assert_int_equal(from.n, 0);
	fdset_done(&from);
	/* Places stay what the fields of the message call them. */
	assert_int_equal(fdset_take(&to, 1), -EBADF);
	assert_int_equal(fdset_take(&to, 2), b);
	close(a);
	close(b);
	fdset_done(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fd_test(places_count_from_one),      fd_test(a_place_gives_once),
		fd_test(done_closes_what_is_left),   fd_test(a_full_set_closes_what_it_refuses),
		fd_test(move_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
