/* SPDX-License-Identifier: Apache-2.0 */
/* One rtnetlink request, and a way through its answers: for rtnl.c and inet.c alone. */
#ifndef CLIENT_MESSAGE_H
#define CLIENT_MESSAGE_H

#include <linux/rtnetlink.h>

#include "rtnl.h"

struct message {
	struct nlmsghdr header;
	char body[512];
};

void message_init(struct message *m, uint16_t type, uint16_t flags, const void *body, size_t len);
void message_put(struct message *m, uint16_t type, const void *data, size_t len);
void message_put_u32(struct message *m, uint16_t type, uint32_t value);

/* message_put_nest() - what is put from here to message_end_nest() is within it. */
struct rtattr *message_put_nest(struct message *m, uint16_t type);
void message_end_nest(struct message *m, struct rtattr *nest);

/*
 * rtnl_talk() - send @m and read all its answers. @fn (may be NULL) sees each until it answers
 * true. Return: 1: @fn answered true; 0: it did not; or a negative errno.
 */
int rtnl_talk(struct rtnl *rtnl, struct message *m, bool (*fn)(void *arg, struct nlmsghdr *reply),
	      void *arg) must_check;

/* attr_next() - the attribute after @last (NULL: the first), behind a body of that size. */
struct rtattr *attr_next(struct nlmsghdr *reply, size_t body, struct rtattr *last);

uint32_t attr_u32(struct rtattr *a);

#endif
