/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of writes into the state map, in C: what `writing.set_all_in_python` does, on the same
 * nodes, at a third of the cost (docs/design/0008-one-file-of-c.md).
 *
 * Promises: equal trees, and the same objects wherever nothing changed below. No argument crashes
 * it: what is no leaf or no node raises ValueError. Nothing recurses; at most 256 nodes are open,
 * since their bits rise from the top down.
 *
 * Who owns what: nodes of the old tree and the leaves are borrowed for the whole call, from its
 * arguments. Owned is what this call made, or puts in the place of something else ("changed").
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000 /* one build for Python 3.11 and all later ones */
#define _GNU_SOURCE               /* RTLD_NOLOAD */
#include <Python.h>
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

enum { HASH = 32, KEY = 32, KEY_BITS = 256, KEY_AT = 2, LEAF_LEAST = KEY_AT + KEY + 1 };
enum { LEAVES_IN_A_TURN = 2048 };

/* SHA-256 of the libcrypto that hashlib has loaded. Its `SHA256_CTX` has 112 bytes in all releases
 * since 0.9.8; the functions are old, and take half the time of those that replace them. */
typedef struct { uint64_t room[32]; } Sha256;
static int (*sha256_init)(Sha256 *);
static int (*sha256_update)(Sha256 *, const void *, size_t);
static int (*sha256_final)(uint8_t *, Sha256 *);

static void sha256(const uint8_t *text, Py_ssize_t size, uint8_t *digest) {
    Sha256 state;
    sha256_init(&state);
    sha256_update(&state, text, (size_t)size);
    sha256_final(digest, &state);
}

/* An inner node on the way to the place of the last write. */
typedef struct {
    int bit;
    PyObject *node;    /* as it was; NULL: none stood here */
    PyObject *side[2]; /* NULL: empty until it is closed */
    int changed[2];    /* whether `side` is another than in `node`: then it is owned */
    uint8_t hash[2][HASH];
} Open;

typedef struct {
    Open open[KEY_BITS];
    int depth;
} Walk;

/* What came out of the places that are closed. */
typedef struct {
    PyObject *node;
    int changed; /* whether it is another than stood there: then it is owned, and `hash` is set */
    uint8_t hash[HASH];
} Closed;

static int bit_of(const uint8_t *key, int bit) { return key[bit >> 3] >> (7 - (bit & 7)) & 1; }

/* The first bit in which two keys differ; KEY_BITS where they are equal. */
static int parting_of(const uint8_t *a, const uint8_t *b) {
    for (int at = 0; at < KEY; at++)
        for (int bit = 0, differ = a[at] ^ b[at]; differ; bit++, differ <<= 1)
            if (differ & 0x80)
                return 8 * at + bit;
    return KEY_BITS;
}

static int prefix_size(int bit) { return bit < 0x80 ? 2 : 3; }

static int bad_tree(void) {
    PyErr_SetString(PyExc_ValueError, "this is no tree of a state map");
    return -1;
}

/* The key in an encoded leaf; NULL and ValueError where it is none. */
static const uint8_t *key_of(PyObject *leaf) {
    if (PyBytes_CheckExact(leaf) && PyBytes_Size(leaf) >= LEAF_LEAST) {
        const uint8_t *text = (const uint8_t *)PyBytes_AsString(leaf);
        if (text[0] == 0 && text[1] == KEY)
            return text + KEY_AT;
    }
    PyErr_SetString(PyExc_ValueError, "this is no encoded leaf of a state map");
    return NULL;
}

/* The bytes that are hashed for a node, which was checked before. */
static void hash_of(PyObject *node, uint8_t *digest) {
    PyObject *hashed = PyTuple_CheckExact(node) ? PyTuple_GetItem(node, 3) : node;
    sha256((const uint8_t *)PyBytes_AsString(hashed), PyBytes_Size(hashed), digest);
}

/* A new place among the open ones, deeper than all of them. */
static Open *push(Walk *walk, long bit, PyObject *node) {
    if (bit >= KEY_BITS || bit <= (walk->depth ? walk->open[walk->depth - 1].bit : -1)) {
        bad_tree();
        return NULL;
    }
    Open *top = &walk->open[walk->depth++];
    *top = (Open){.bit = (int)bit, .node = node};
    return top;
}

/* Open the inner node `node` and return its side where `key` belongs. */
static PyObject *enter(Walk *walk, PyObject *node, const uint8_t *key) {
    if (PyTuple_Size(node) != 4)
        return bad_tree(), NULL;
    PyObject *bit = PyTuple_GetItem(node, 0), *hashed = PyTuple_GetItem(node, 3);
    if (!PyLong_CheckExact(bit) || !PyBytes_CheckExact(hashed))
        return bad_tree(), NULL;
    int overflow;
    long number = PyLong_AsLongAndOverflow(bit, &overflow);
    Open *top = overflow ? (bad_tree(), NULL) : push(walk, number, node);
    if (top == NULL)
        return NULL;
    Py_ssize_t prefix = prefix_size(top->bit);
    if (PyBytes_Size(hashed) != prefix + 2 * HASH)
        return bad_tree(), NULL;
    memcpy(top->hash, PyBytes_AsString(hashed) + prefix, 2 * HASH);
    top->side[0] = PyTuple_GetItem(node, 1);
    top->side[1] = PyTuple_GetItem(node, 2);
    return top->side[bit_of(key, top->bit)];
}

/* Open a place for a new key beside the leaf `node`, to which its walk led from `first` on. */
static int insert(Walk *walk, int first, PyObject *node, int apart, const uint8_t *key) {
    while (walk->depth > first && walk->open[walk->depth - 1].bit > apart)
        node = walk->open[--walk->depth].node;
    Open *top = push(walk, apart, NULL);
    if (top == NULL)
        return -1;
    int other = !bit_of(key, apart);
    top->side[other] = node;
    hash_of(node, top->hash[other]);
    return 0;
}

/* The node for an open place whose sides are there, with its hash. Takes what the place owns. */
static PyObject *make(Open *from, uint8_t *digest) {
    Py_ssize_t prefix = prefix_size(from->bit), size = prefix + 2 * HASH;
    PyObject *bit = PyLong_FromLong(from->bit), *node = PyTuple_New(4);
    PyObject *hashed = PyBytes_FromStringAndSize(NULL, size);
    if (bit == NULL || node == NULL || hashed == NULL) {
        Py_XDECREF(bit), Py_XDECREF(node), Py_XDECREF(hashed);
        return NULL;
    }
    uint8_t *text = (uint8_t *)PyBytes_AsString(hashed);
    text[0] = 1;
    text[1] = (uint8_t)(prefix == 2 ? from->bit : from->bit | 0x80);
    if (prefix == 3)
        text[2] = 1;
    memcpy(text + prefix, from->hash, 2 * HASH);
    sha256(text, size, digest);
    PyTuple_SetItem(node, 0, bit);
    for (int side = 0; side < 2; side++) {
        if (!from->changed[side])
            Py_INCREF(from->side[side]);
        from->changed[side] = 0;
        PyTuple_SetItem(node, 1 + side, from->side[side]);
    }
    PyTuple_SetItem(node, 3, hashed);
    /* A node cannot be part of a cycle, so the search for cycles need not see it. The collector
     * finds that out for most tuples by itself, but only after it has looked at each. */
    PyObject_GC_UnTrack(node);
    return node;
}

static void put(Open *place, int side, Closed *closed) {
    place->side[side] = closed->node;
    place->changed[side] = 1;
    memcpy(place->hash[side], closed->hash, HASH);
    closed->changed = 0;
}

/* Close all places below bit `parting`, and make their nodes anew over what `closed` has. */
static int close_below(Walk *walk, int parting, const uint8_t *key, Closed *closed) {
    while (walk->depth && walk->open[walk->depth - 1].bit > parting) {
        Open *top = &walk->open[walk->depth - 1];
        if (closed->changed)
            put(top, bit_of(key, top->bit), closed);
        if (top->side[0] == NULL || top->side[1] == NULL)
            return bad_tree();
        int changed = top->changed[0] || top->changed[1];
        closed->node = changed ? make(top, closed->hash) : top->node;
        if (closed->node == NULL)
            return -1;
        closed->changed = changed;
        walk->depth--;
    }
    return 0;
}

/* Write `leaf` at the place of `node` (NULL: an empty one), which begins with `closed`. */
static int write_leaf(Walk *walk, PyObject *node, PyObject *leaf, const uint8_t *key,
                      Closed *closed, Py_ssize_t *added) {
    int first = walk->depth;
    while (node != NULL && PyTuple_CheckExact(node))
        if ((node = enter(walk, node, key)) == NULL)
            return -1;
    const uint8_t *before = node == NULL ? NULL : key_of(node);
    if (node != NULL && before == NULL)
        return -1;
    int apart = before == NULL ? -1 : parting_of(before, key);
    *added += apart < KEY_BITS;
    if (apart >= 0 && apart < KEY_BITS && insert(walk, first, node, apart, key) < 0)
        return -1;
    if (apart == KEY_BITS && PyBytes_Size(node) == PyBytes_Size(leaf) &&
        memcmp(before, key, (size_t)PyBytes_Size(leaf) - KEY_AT) == 0) {
        /* An equal leaf stays, and with it the nodes above of which nothing else changed. */
        closed->node = node;
        return 0;
    }
    Py_INCREF(leaf);
    closed->node = leaf;
    closed->changed = 1;
    hash_of(leaf, closed->hash);
    return 0;
}

/* The place of the next write, which parts from the last one at bit `parting`; in `next`, NULL
 * is an empty one. */
static int go_right(Walk *walk, int parting, Closed *closed, PyObject **next) {
    Open *top = walk->depth ? &walk->open[walk->depth - 1] : NULL;
    if (top != NULL && top->bit == parting) {
        if (closed->changed)
            put(top, 0, closed);
        *next = top->side[1];
        return 0;
    }
    /* No node parted these two writes so far. */
    top = push(walk, parting, NULL);
    if (top == NULL)
        return -1;
    *next = NULL;
    if (closed->changed) {
        put(top, 0, closed);
        return 0;
    }
    top->side[0] = closed->node;
    hash_of(closed->node, top->hash[0]);
    return 0;
}

static int write_all(Walk *walk, PyObject *node, PyObject *leaves, Closed *closed,
                     Py_ssize_t *added) {
    Py_ssize_t count = PyTuple_Size(leaves);
    const uint8_t *key = NULL, *following = key_of(PyTuple_GetItem(leaves, 0));
    for (Py_ssize_t at = 0; at < count; at++) {
        if ((key = following) == NULL)
            return -1;
        int parting = -1; /* after the last write all places are closed */
        if (at + 1 < count) {
            if ((following = key_of(PyTuple_GetItem(leaves, at + 1))) == NULL)
                return -1;
            parting = parting_of(key, following);
            if (parting == KEY_BITS || !bit_of(following, parting)) {
                PyErr_SetString(PyExc_ValueError, "a key occurs twice, or out of order");
                return -1;
            }
        }
        PyObject *leaf = PyTuple_GetItem(leaves, at);
        if (write_leaf(walk, node, leaf, key, closed, added) < 0 ||
            close_below(walk, parting, key, closed) < 0 ||
            (parting >= 0 && go_right(walk, parting, closed, &node) < 0))
            return -1;
        /* Other threads get their turn, as the interpreter gives it to them every 5 ms. */
        if (at % LEAVES_IN_A_TURN == LEAVES_IN_A_TURN - 1) {
            Py_BEGIN_ALLOW_THREADS
            Py_END_ALLOW_THREADS
        }
    }
    return 0;
}

static PyObject *set_all(PyObject *Py_UNUSED(module), PyObject *const *arguments,
                         Py_ssize_t count) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "set_all takes a node and its new leaves");
        return NULL;
    }
    PyObject *node = arguments[0], *leaves = PySequence_Tuple(arguments[1]);
    if (leaves == NULL)
        return NULL;
    Py_ssize_t added = 0;
    Walk walk = {.depth = 0};
    Closed closed = {.node = node, .changed = 0};
    int failed = PyTuple_Size(leaves) &&
                 write_all(&walk, node == Py_None ? NULL : node, leaves, &closed, &added) < 0;
    PyObject *result = failed ? NULL : Py_BuildValue("On", closed.node, added);
    if (closed.changed)
        Py_DECREF(closed.node);
    while (walk.depth--)
        for (int side = 0; side < 2; side++)
            if (walk.open[walk.depth].changed[side])
                Py_DECREF(walk.open[walk.depth].side[side]);
    Py_DECREF(leaves);
    return result;
}

/* Where hashlib's own library is, and with it what that was linked to; NULL: not to be found. */
static void *hashlibs_library(void) {
    PyObject *module = PyImport_ImportModule("_hashlib");
    PyObject *file = module == NULL ? NULL : PyObject_GetAttrString(module, "__file__");
    PyObject *path = file == NULL ? NULL : PyUnicode_EncodeFSDefault(file);
    PyErr_Clear();
    /* Where hashlib is built into the interpreter, it has no file. */
    void *found = dlopen(path == NULL ? NULL : PyBytes_AsString(path), RTLD_NOW | RTLD_NOLOAD);
    Py_XDECREF(module), Py_XDECREF(file), Py_XDECREF(path);
    return found;
}

static int is_right(void) {
    static const uint8_t expected[HASH] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
        0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
    };
    uint8_t digest[HASH];
    sha256((const uint8_t *)"abc", 3, digest);
    return memcmp(digest, expected, HASH) == 0;
}

static int begin(PyObject *Py_UNUSED(module)) {
    void *library = hashlibs_library();
    void *init = library == NULL ? NULL : dlsym(library, "SHA256_Init");
    void *update = library == NULL ? NULL : dlsym(library, "SHA256_Update");
    void *final = library == NULL ? NULL : dlsym(library, "SHA256_Final");
    memcpy(&sha256_init, &init, sizeof init);
    memcpy(&sha256_update, &update, sizeof update);
    memcpy(&sha256_final, &final, sizeof final);
    if (init != NULL && update != NULL && final != NULL && is_right())
        return 0;
    PyErr_SetString(PyExc_ImportError, "hashlib's library has no SHA-256 that can be called");
    return -1;
}

static PyMethodDef functions[] = {
    {"set_all", (PyCFunction)(void (*)(void))set_all, METH_FASTCALL,
     "The tree after sorted leaves were written, and how many of their keys are new."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, begin}, {0, NULL}};

static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "fieldpost.statemap._writing",
    .m_doc = "A batch of writes into the state map, in C.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__writing(void) { return PyModuleDef_Init(&module); }
