/* SPDX-License-Identifier: MIT */
/* The table of file descriptors: lib/libc/fd.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/errno.h"
#include "lib/libc/fd.h"

static uintptr_t closed;

static long read_seven(uintptr_t object, void *to, size_t bytes)
{
    (void)to;
    return (long)(object + bytes);
}

static int note_close(uintptr_t object)
{
    closed = object;
    return 0;
}

static const struct fd_ops readable = { .kind = FD_SOCKET,
                                        .read = read_seven,
                                        .close = note_close };
static const struct fd_ops nothing = { .kind = FD_CHARACTER };

static int close_all(void **state)
{
    (void)state;
    for (int fd = 0; fd < FD_MAX; fd++)
        fd_close(fd);
    return 0;
}

static void the_lowest_free_number_is_given(void **state)
{
    (void)state;
    assert_int_equal(fd_open(&readable, 7), 0);
    assert_int_equal(fd_open(&readable, 8), 1);
    assert_int_equal(fd_open(&readable, 9), 2);
    assert_int_equal(fd_close(1), 0);
    assert_int_equal(closed, 8);
    assert_int_equal(fd_open(&nothing, 0), 1);
}

static void a_full_table_refuses_one_more(void **state)
{
    (void)state;
    for (int fd = 0; fd < FD_MAX; fd++)
        assert_int_equal(fd_open(&nothing, 0), fd);
    assert_int_equal(fd_open(&nothing, 0), -EMFILE);
    fd_close(FD_MAX - 1);
    assert_int_equal(fd_open(&nothing, 0), FD_MAX - 1);
}

static void numbers_that_are_not_open_are_refused(void **state)
{
    static const int numbers[] = { -1, 0, FD_MAX - 1, FD_MAX, INT32_MAX, INT32_MIN };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        uintptr_t object;

        assert_int_equal(fd_read(numbers[i], NULL, 0), -EBADF);
        assert_int_equal(fd_write(numbers[i], NULL, 0), -EBADF);
        assert_int_equal(fd_control(numbers[i], 0, 0), -EBADF);
        assert_int_equal(fd_close(numbers[i]), -EBADF);
        assert_int_equal(fd_object(numbers[i], &readable, &object), -EBADF);
        assert_null(fd_get_ops(numbers[i]));
    }
}

static void what_an_object_cannot_do_is_refused(void **state)
{
    int fd = fd_open(&nothing, 0);

    (void)state;
    assert_int_equal(fd_read(fd, NULL, 0), -EBADF);
    assert_int_equal(fd_write(fd, NULL, 0), -EBADF);
    assert_int_equal(fd_control(fd, 0, 0), -ENOSYS);
    assert_int_equal(fd_close(fd), 0);
    assert_int_equal(fd_close(fd), -EBADF);
}

static void an_object_is_found_by_its_own_kind_only(void **state)
{
    int fd = fd_open(&readable, 40);
    uintptr_t object = 1;

    (void)state;
    assert_int_equal(fd_read(fd, NULL, 2), 42);
    assert_int_equal(fd_object(fd, &nothing, &object), -ENOTSOCK);
    assert_int_equal(object, 1);
    assert_int_equal(fd_object(fd, &readable, &object), 0);
    assert_int_equal(object, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_lowest_free_number_is_given, close_all),
        cmocka_unit_test_teardown(a_full_table_refuses_one_more, close_all),
        cmocka_unit_test_teardown(numbers_that_are_not_open_are_refused, close_all),
        cmocka_unit_test_teardown(what_an_object_cannot_do_is_refused, close_all),
        cmocka_unit_test_teardown(an_object_is_found_by_its_own_kind_only, close_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
