// SPDX-License-Identifier: Apache-2.0
/* The least that a process can be, linked as meson.build says: what its start is divided by. */
int main(void)
{
	return 0;
}
