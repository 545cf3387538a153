/*
 * The smallest cut of ways: the fewest things without which none is left. See ways.h.
 *
 * A way leads from a node's site over the node to a slot, and a node has one site. So ways are the
 * paths of a net in which each thing lets one path through, and what ends all of them with the
 * fewest things is its smallest cut, as large as the greatest flow (Menger).
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "service/ways.h"

#define NONE      SIZE_MAX
#define UNLIMITED (SIZE_MAX / 2)

struct arc {
    size_t to;
    size_t room;
    size_t next; /* of the same vertex; NONE: the last */
};

/* A thing is two vertices, an entry and an exit, and the arc between them. */
struct net {
    const struct hf_ways *ways;
    bool with_sites;
    struct arc *arcs; /* in pairs: there, and back */
    size_t arc_count;
    size_t *first; /* per vertex: its first arc */
    bool *seen;    /* per vertex */
    bool *entered; /* per node: its way in is there */
};

static size_t entry_of(size_t thing)
{
    return 2 * thing;
}

static size_t exit_of(size_t thing)
{
    return 2 * thing + 1;
}

static size_t source_of(const struct net *net)
{
    return 2 * net->ways->thing_count;
}

static size_t sink_of(const struct net *net)
{
    return 2 * net->ways->thing_count + 1;
}

static void add_half(struct net *net, size_t from, size_t to, size_t room)
{
    net->arcs = hf_realloc_array(net->arcs, net->arc_count + 1, sizeof *net->arcs);
    net->arcs[net->arc_count] = (struct arc){ to, room, net->first[from] };
    net->first[from] = net->arc_count++;
}

static void add_arc(struct net *net, size_t from, size_t to, size_t room)
{
    add_half(net, from, to, room);
    add_half(net, to, from, 0);
}

/* Over its site, if that can be lost. */
static void enter_node(struct net *net, const struct hf_way *way)
{
    bool by_site = net->with_sites && way->count > 2;
    size_t node = way->things[0];

    if (!net->entered[node]) {
        net->entered[node] = true;
        add_arc(net, by_site ? exit_of(way->things[2]) : source_of(net), entry_of(node), UNLIMITED);
    }
}

static void add_things(struct net *net)
{
    for (size_t i = 0; i < net->ways->thing_count; i++) {
        add_arc(net, entry_of(i), exit_of(i), 1);
        if (net->ways->things[i].kind == HF_THING_SITE) {
            add_arc(net, source_of(net), entry_of(i), UNLIMITED);
        } else if (net->ways->things[i].kind == HF_THING_SLOT) {
            add_arc(net, exit_of(i), sink_of(net), UNLIMITED);
        }
    }
}

static void net_init(struct net *net, const struct hf_ways *ways,
                     const struct hf_cut_question *question)
{
    size_t vertices = 2 * ways->thing_count + 2;

    *net = (struct net){ .ways = ways, .with_sites = question->with_sites };
    net->first = hf_alloc_array(vertices, sizeof *net->first);
    net->seen = hf_alloc_array(vertices, sizeof *net->seen);
    net->entered = hf_alloc_array(vertices, sizeof *net->entered);
    for (size_t i = 0; i < vertices; i++) {
        net->first[i] = NONE;
    }
    add_things(net);
    for (size_t i = 0; i < ways->count; i++) {
        const struct hf_way *way = &ways->items[i];

        if ((question->with_people || !way->needs_people) &&
            hf_way_opens(ways, way, question->keyring, question->path)) {
            enter_node(net, way);
            add_arc(net, exit_of(way->things[0]), entry_of(way->things[1]), UNLIMITED);
        }
    }
}

static void net_done(struct net *net)
{
    free(net->arcs);
    free(net->first);
    free(net->seen);
    free(net->entered);
}

/* One more path to the sink, which may push others aside. */
static bool can_pass(struct net *net, size_t vertex)
{
    if (vertex == sink_of(net)) {
        return true;
    }
    net->seen[vertex] = true;
    for (size_t i = net->first[vertex]; i != NONE; i = net->arcs[i].next) {
        struct arc *arc = &net->arcs[i];

        if (arc->room > 0 && !net->seen[arc->to] && can_pass(net, arc->to)) {
            arc->room--;
            net->arcs[i ^ 1U].room++;
            return true;
        }
    }
    return false;
}

static void look_anew(struct net *net)
{
    for (size_t i = 0; i <= sink_of(net); i++) {
        net->seen[i] = false;
    }
}

size_t hf_ways_cut(const struct hf_ways *ways, const struct hf_cut_question *question,
                   size_t *out_things)
{
    struct net net;
    size_t size = 0;
    size_t count = 0;

    net_init(&net, ways, question);
    while (can_pass(&net, source_of(&net))) {
        look_anew(&net);
        size++;
    }
    /* What was seen in vain is before the cut. */
    for (size_t i = 0; i < ways->thing_count && out_things != NULL; i++) {
        if (net.seen[entry_of(i)] && !net.seen[exit_of(i)]) {
            out_things[count++] = i;
        }
    }
    net_done(&net);
    return size;
}
