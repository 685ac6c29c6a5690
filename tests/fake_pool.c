// SPDX-License-Identifier: Apache-2.0
/* A daemon whose pool is off: instances are made, attached and removed as they are asked for. */
#include "pool.h"

#include "pin.h"

int pool_make(struct pool *pool, const struct instance_spec *spec, struct instance *out,
	      bool *out_ready, struct fault *fault)
{
	(void)pool;
	*out_ready = false;
	return instance_make(NULL, spec, out, fault);
}

int pool_attach(struct pool *pool, struct instance *in, struct netns *ns, const struct device *dev,
		enum instance_mode mode, enum instance_mode *out_granted, struct fault *fault)
{
	(void)pool;
	return instance_attach(in, ns, dev, mode, out_granted, fault);
}

int pool_remove(struct pool *pool, uint32_t id)
{
	(void)pool;
	return instance_unpin("", id);
}

void pool_mark(struct pool *pool, uint32_t id, bool clean)
{
	(void)pool;
	(void)id;
	(void)clean;
}

void pool_settle(struct pool *pool, uint32_t id, bool clean)
{
	(void)pool;
	(void)id;
	(void)clean;
}

void pool_info(struct pool *pool, struct pool_info *out)
{
	(void)pool;
	*out = (struct pool_info){ 0 };
}

int pin_remove_hidden(const char *bpf_dir)
{
	(void)bpf_dir;
	return 0;
}
