/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read by cppcheck alone (analyse.sh), before each file: it sees no headers but ours, and does not
 * know these macros of theirs for what they are.
 */
#define PROTOBUF_C_VERSION_NUMBER       1004000
#define PROTOBUF_C_MIN_COMPILER_VERSION 1000000

#define LIBBPF_OPTS(type, name, ...)       struct type name = { __VA_ARGS__ }
#define bpf_object__for_each_map(map, obj) while (((map) = bpf_object__next_map(obj, map)))

#define json_array_foreach(array, i, value) \
	for ((i) = 0; (i) < json_array_size(array); (value) = json_array_get(array, (i)++))
#define json_object_foreach(object, key, value) while (json_next(object, &(key), &(value)))
