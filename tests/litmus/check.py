#!/usr/bin/env python3
"""Litmus tests of the library's orders: proves in the RC11 memory model that an outcome cannot be, or makes a program of them.

    check.py prove       no *.litmus here has an execution with the outcome after "exists", nor a data race; each order is
                         as strong as it says ("least"), and the accesses stand in the sources as they are quoted
    check.py classics    the verdicts that the literature gives for known tests
    check.py program     the C functions of all tests, for run.c, on standard output

The model: Lahav, Vafeiadis, Kang, Hur, Dreyer, "Repairing sequential consistency in C/C++11", PLDI 2017, with the release
sequences of C++20, which are shorter. A read-modify-write is one event here. Executions are enumerated: values that are
read, then which write each read reads from, then the order of the writes to each location."""
import itertools
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent

# --- programs: the part of C, and of herd's notation, that is used here ---

CALL = re.compile(r'(?:(?:int )?(\w+) = )?atomic_(\w+?)_explicit\((.*)\);$')
PLAIN_READ = re.compile(r'(?:int )?(\w+) = \*(\w+);$')
PLAIN_WRITE = re.compile(r'\*(\w+) = (.+);$')
LOCAL = re.compile(r'int (\w+) = (-?\d+);$')
FENCE = re.compile(r'atomic_thread_fence\(memory_order_(\w+)\);$')
IF = re.compile(r'if \((.*)\) \{$')


class Test:
    def __init__(self, text):
        self.text = text
        self.name = re.match(r'C (\w+)', text).group(1)
        self.sources = re.findall(r'\(\* source (\S+): (.*?) \*\)', text, re.S)
        start = re.search(r'^\{(.*?)\}', text, re.M | re.S).group(1)
        self.start = {name: int(value) for name, value in re.findall(r'(\w+) = (-?\d+);', start)}
        self.threads = []  # (parameters, lines)
        for parameters, body in re.findall(r'^P\d+ \((.*?)\) \{\n(.*?)^\}', text, re.M | re.S):
            self.threads.append((parameters, [line.strip() for line in body.splitlines() if line.strip()]))
        self.exists = re.search(r'^exists \((.*)\)', text, re.M | re.S).group(1)

    def accesses(self):
        """(thread, line, order, what its comment says is the least that will do)"""
        for thread, (_, lines) in enumerate(self.threads):
            for number, line in enumerate(lines):
                code, _, comment = line.partition('//')
                orders = re.findall(r'memory_order_(\w+)', code)
                if orders and orders[0] != 'relaxed':
                    yield thread, number, orders[0], comment.strip().removeprefix('least: ')

    def with_order(self, thread, number, order):
        changed = Test(self.text)
        line = changed.threads[thread][1][number]
        changed.threads[thread][1][number] = re.sub(r'memory_order_\w+', 'memory_order_' + order, line, count=1)
        return changed


class Event:
    def __init__(self, thread, location, order, read=None, written=None, fence=False):
        self.thread, self.location, self.order = thread, location, order
        self.read, self.written, self.fence = read, written, fence  # None: it does not

    def acquires(self):
        return self.order in ('acquire', 'acq_rel', 'seq_cst') and (self.fence or self.read is not None)

    def releases(self):
        return self.order in ('release', 'acq_rel', 'seq_cst') and (self.fence or self.written is not None)


def evaluate(expression, registers):
    expression = expression.replace('&&', ' and ').replace('||', ' or ')
    return int(eval(expression, {}, registers))  # of files in this folder


def modified(name, old, operand):
    return {'fetch_add': old + operand, 'fetch_sub': old - operand, 'fetch_or': old | operand,
            'fetch_and': old & operand, 'exchange': operand}[name]


def runs(thread, lines, values):
    """All (events, registers) of the thread if reads may see any of the values."""
    def go(at, events, registers):
        while at < len(lines):
            line = lines[at].partition('//')[0].strip()
            at += 1
            if line in ('', '}'):
                continue
            if match := LOCAL.match(line):
                registers = {**registers, match[1]: int(match[2])}
            elif match := FENCE.match(line):
                events = events + [Event(thread, None, match[1], fence=True)]
            elif match := IF.match(line):
                if not evaluate(match[1], registers):
                    depth = 1
                    while depth:
                        depth += lines[at].endswith('{') - (lines[at] == '}')
                        at += 1
            elif match := PLAIN_READ.match(line):
                for value in values[match[2]]:
                    yield from go(at, events + [Event(thread, match[2], 'plain', read=value)],
                                  {**registers, match[1]: value})
                return
            elif match := PLAIN_WRITE.match(line):
                events = events + [Event(thread, match[1], 'plain', written=evaluate(match[2], registers))]
            else:
                result, name, inside = CALL.match(line).groups()
                arguments = [each.strip() for each in inside.split(',')]
                location, order = arguments[0], arguments[-1].removeprefix('memory_order_')
                if name == 'store':
                    events = events + [Event(thread, location, order, written=evaluate(arguments[1], registers))]
                    continue
                for value in values[location]:
                    then = dict(registers)
                    if name == 'load':
                        event, outcome = Event(thread, location, order, read=value), value
                    elif name == 'compare_exchange_strong':
                        expected, order = arguments[1].removeprefix('&'), arguments[3].removeprefix('memory_order_')
                        outcome = int(value == registers[expected])
                        if outcome:
                            event = Event(thread, location, order, value, evaluate(arguments[2], registers))
                        else:
                            event = Event(thread, location, arguments[4].removeprefix('memory_order_'), read=value)
                            then[expected] = value
                    else:
                        written = modified(name, value, evaluate(arguments[1], registers))
                        event, outcome = Event(thread, location, order, value, written), value
                    if result:
                        then[result] = outcome
                    yield from go(at, events + [event], then)
                return
        yield events, registers
    yield from go(0, [], {})


def possible_values(test):
    """Of each location: what some write may write."""
    values = {name: {value} for name, value in test.start.items()}
    updates = sum('_fetch_' in line for _, lines in test.threads for line in lines)
    for _ in range(updates + 2): # no value comes from more updates than there are
        before = {name: set(known) for name, known in values.items()}
        for thread, (_, lines) in enumerate(test.threads):
            for events, _ in runs(thread, lines, before):
                for event in events:
                    if event.written is not None:
                        values[event.location].add(event.written)
    return values


# --- relations: a row of bits for each event ---

def compose(a, b):
    out = []
    for row in a:
        bits = 0
        while row:
            low = row & -row
            bits |= b[low.bit_length() - 1]
            row ^= low
        out.append(bits)
    return out


def union(*relations):
    return [sum_bits(rows) for rows in zip(*relations)]


def sum_bits(rows):
    bits = 0
    for row in rows:
        bits |= row
    return bits


def closure(a):
    a = list(a)
    for k in range(len(a)):
        for i in range(len(a)):
            if a[i] >> k & 1:
                a[i] |= a[k]
    return a


def cyclic(a):
    return any(row >> i & 1 for i, row in enumerate(closure(a)))


def optional(a):
    return [row | 1 << i for i, row in enumerate(a)]


def among(n, holds):
    return [sum(1 << j for j in range(n) if holds(i, j)) for i in range(n)]


# --- one execution ---

class Execution:
    """events; reads_from: of each event, the index of what it reads from; orders: of each location, its writes in order"""
    def __init__(self, events, reads_from, orders):
        self.events, n = events, len(events)
        self.n = n
        place = {}
        for order in orders.values():
            place.update({event: at for at, event in enumerate(order)})
        same = lambda i, j: events[i].location == events[j].location
        self.sb = among(n, lambda i, j: i != j and (events[i].thread is None and events[j].thread is not None or
                                                    events[i].thread == events[j].thread is not None and i < j))
        self.rf = among(n, lambda i, j: reads_from.get(j) == i)
        self.co = among(n, lambda i, j: i in place and j in place and same(i, j) and place[i] < place[j])
        self.fr = among(n, lambda i, j: i in reads_from and j in place and same(i, j) and i != j and
                        place[reads_from[i]] < place[j])
        self.atomic = all(place[i] == place[source] + 1 for i, source in reads_from.items() if i in place)

    def happens_before(self):
        events, n = self.events, self.n
        only = lambda holds: among(n, lambda i, j: i == j and holds(events[i]))
        relaxed_write = only(lambda e: e.written is not None and e.order != 'plain')
        relaxed_read = only(lambda e: e.read is not None and e.order != 'plain')
        updates = only(lambda e: e.written is not None and e.read is not None)
        chain = optional(closure(compose(self.rf, updates)))
        release = union(only(lambda e: e.releases() and not e.fence),
                        compose(only(lambda e: e.releases() and e.fence), self.sb))
        acquire = union(only(lambda e: e.acquires() and not e.fence),
                        compose(self.sb, only(lambda e: e.acquires() and e.fence)))
        self.sw = release
        for part in (relaxed_write, chain, self.rf, relaxed_read, acquire):
            self.sw = compose(self.sw, part)
        self.hb = closure(union(self.sb, self.sw))

    def consistent(self):
        if not self.atomic or cyclic(union(self.sb, self.rf)):
            return False
        self.happens_before()
        eco = closure(union(self.rf, self.co, self.fr))
        hb, n, events = self.hb, self.n, self.events
        if any(row >> i & 1 for i, row in enumerate(hb)) or any(row >> i & 1 for i, row in enumerate(compose(hb, eco))):
            return False
        other = among(n, lambda i, j: self.sb[i] >> j & 1 and events[i].location != events[j].location)
        here = among(n, lambda i, j: hb[i] >> j & 1 and events[i].location == events[j].location is not None)
        scb = union(self.sb, compose(compose(other, hb), other), here, self.co, self.fr)
        strong = among(n, lambda i, j: i == j and events[i].order == 'seq_cst')
        fences = among(n, lambda i, j: i == j and events[i].order == 'seq_cst' and events[i].fence)
        left, right = union(strong, compose(fences, optional(hb))), union(strong, compose(optional(hb), fences))
        base = compose(compose(left, scb), right)
        between = compose(compose(fences, union(hb, compose(compose(hb, eco), hb))), fences)
        return not cyclic(union(base, between))

    def races(self):
        for i, j in itertools.combinations(range(self.n), 2):
            a, b = self.events[i], self.events[j]
            if (a.location == b.location is not None and a.thread != b.thread and 'plain' in (a.order, b.order) and
                    (a.written is not None or b.written is not None) and
                    not (self.hb[i] >> j & 1 or self.hb[j] >> i & 1)):
                return True
        return False


def executions(test):
    """(execution, registers of the threads, last values) of all consistent ones."""
    values = possible_values(test)
    first = [Event(None, name, 'start', written=value) for name, value in test.start.items()]
    for choice in itertools.product(*[list(runs(i, lines, values)) for i, (_, lines) in enumerate(test.threads)]):
        events = first + [event for thread, _ in choice for event in thread]
        reads = [i for i, e in enumerate(events) if e.read is not None]
        sources = [[j for j, w in enumerate(events) if j != i and w.location == events[i].location and
                    w.written is not None and w.written == events[i].read] for i in reads]
        written = [[i for i, e in enumerate(events) if e.location == name and e.written is not None and e.thread is not None]
                   for name in test.start]
        for source in itertools.product(*sources):
            for order in itertools.product(*map(itertools.permutations, written)):
                orders = {name: (at,) + order[at] for at, name in enumerate(test.start)}
                execution = Execution(events, dict(zip(reads, source)), orders)
                if execution.consistent():
                    last = {name: events[writes[-1]].written for name, writes in orders.items()}
                    yield execution, [registers for _, registers in choice], last


def outcome(test):
    """'forbidden', 'allowed' or 'race'"""
    condition = test.exists.replace('/\\', ' and ').replace('\\/', ' or ')
    found = 'forbidden'
    for execution, registers, last in executions(test):
        if execution.races():
            return 'race'
        names = {f'_{i}_{name}': value for i, each in enumerate(registers) for name, value in each.items()}
        names.update(last)
        text = re.sub(r'(\d+):(\w+)', r'_\1_\2', condition)
        text = re.sub(r'(?<![=!])=(?!=)', '==', text)
        for missing in set(re.findall(r'_\d+_\w+', text)) - set(names):
            names[missing] = -1  # it was not read
        if eval(text, {}, names):
            found = 'allowed'
    return found


# --- what is done with them ---

WEAKER = {'seq_cst': ('relaxed', 'release', 'acquire', 'acq_rel', 'seq_cst'),
          'acq_rel': ('relaxed', 'release', 'acquire', 'acq_rel'),
          'acquire': ('relaxed', 'acquire'), 'release': ('relaxed', 'release')}


def least(test, thread, number, order):
    line = test.threads[thread][1][number]
    for weaker in WEAKER[order]:
        if (weaker in ('release', 'acq_rel') and '_load_' in line) or (weaker in ('acquire', 'acq_rel') and '_store_' in line):
            continue
        if outcome(test.with_order(thread, number, weaker)) == 'forbidden':
            return weaker


def tests():
    return [Test(path.read_text()) for path in sorted(HERE.glob('*.litmus'))]


def prove():
    faults = []
    for test in tests():
        verdict = outcome(test)
        if verdict != 'forbidden':
            faults.append(f'{test.name}: {verdict}')
        for thread, number, order, said in test.accesses():
            found = least(test, thread, number, order)
            if found != said:
                faults.append(f'{test.name}: P{thread} "{test.threads[thread][1][number]}": least is {found}')
        for path, text in test.sources:
            if re.sub(r'\s+', '', text) not in re.sub(r'\s+', '', (ROOT / path).read_text()):
                faults.append(f'{test.name}: {path} has no "{text}" any more')
        print(f'{test.name:20} {verdict}')
    return faults


def two(first, second, exists, start='x = 0; y = 0;'):
    threads = [first, second] if isinstance(second, str) else [first, *second]
    bodies = ''.join(f'P{i} () {{\n' + re.sub(r'(?<=[;{]) ', '\n    ', body) + '\n}\n' for i, body in enumerate(threads))
    for short, long in (('W(', 'atomic_store_explicit('), ('R(', 'atomic_load_explicit('),
                        ('ADD(', 'atomic_fetch_add_explicit('), ('F(', 'atomic_thread_fence('),
                        ('sc)', 'memory_order_seq_cst)'), ('rlx)', 'memory_order_relaxed)'),
                        ('rel)', 'memory_order_release)'), ('acq)', 'memory_order_acquire)'),
                        ('ar)', 'memory_order_acq_rel)')):
        bodies = re.sub(r'(?<![\w_])' + re.escape(short), long, bodies)
    return Test(f'C classic\n{{ {start} }}\n{bodies}exists ({exists})\n')


def classics():
    sb = lambda w, r: two(f'W(x, 1, {w}); int a = R(y, {r});', f'W(y, 1, {w}); int a = R(x, {r});', '0:a=0 /\\ 1:a=0')
    mp = lambda w, r: two(f'*x = 1; W(y, 1, {w});', f'int a = R(y, {r}); if (a == 1) {{ int b = *x; }}', '1:a=1 /\\ 1:b=0')
    atomic_mp = lambda w, r: two(f'W(x, 1, rlx); W(y, 1, {w});', f'int a = R(y, {r}); int b = R(x, rlx);',
                                 '1:a=1 /\\ 1:b=0')
    iriw = lambda w, r: two(f'W(x, 1, {w});', [f'W(y, 1, {w});', f'int a = R(x, {r}); int b = R(y, {r});',
                            f'int a = R(y, {r}); int b = R(x, {r});'], '2:a=1 /\\ 2:b=0 /\\ 3:a=1 /\\ 3:b=0')
    known = [
        ('store buffering, seq_cst', sb('sc', 'sc'), 'forbidden'),
        ('store buffering, release and acquire', sb('rel', 'acq'), 'allowed'),
        ('store buffering, relaxed, seq_cst fences', two('W(x, 1, rlx); F(sc); int a = R(y, rlx);',
            'W(y, 1, rlx); F(sc); int a = R(x, rlx);', '0:a=0 /\\ 1:a=0'), 'forbidden'),
        ('store buffering, relaxed, acq_rel fences', two('W(x, 1, rlx); F(ar); int a = R(y, rlx);',
            'W(y, 1, rlx); F(ar); int a = R(x, rlx);', '0:a=0 /\\ 1:a=0'), 'allowed'),
        ('message passing, plain data', mp('rel', 'acq'), 'forbidden'),
        ('message passing, plain data, relaxed flag', mp('rlx', 'acq'), 'race'),
        ('message passing, relaxed', atomic_mp('rlx', 'acq'), 'allowed'),
        ('message passing, release and relaxed', atomic_mp('rel', 'rlx'), 'allowed'),
        ('message passing, fences', two('W(x, 1, rlx); F(rel); W(y, 1, rlx);',
            'int a = R(y, rlx); F(acq); int b = R(x, rlx);', '1:a=1 /\\ 1:b=0'), 'forbidden'),
        ('message passing through a read-modify-write', two('W(x, 1, rlx); W(y, 1, rel);', ['ADD(y, 1, rlx);',
            'int a = R(y, acq); int b = R(x, rlx);'], '2:a=2 /\\ 2:b=0'), 'forbidden'),
        ('message passing through a store (C++20)', two('W(x, 1, rlx); W(y, 1, rel); W(y, 2, rlx);',
            'int a = R(y, acq); int b = R(x, rlx);', '1:a=2 /\\ 1:b=0'), 'allowed'),
        ('independent reads, seq_cst', iriw('sc', 'sc'), 'forbidden'),
        ('independent reads, acquire', iriw('rel', 'acq'), 'allowed'),
        ('load buffering, relaxed', two('int a = R(x, rlx); W(y, 1, rlx);', 'int a = R(y, rlx); W(x, 1, rlx);',
            '0:a=1 /\\ 1:a=1'), 'forbidden'),  # the price of RC11's rule against values out of thin air
        ('two writes each, release', two('W(x, 1, rel); W(y, 2, rel);', 'W(y, 1, rel); W(x, 2, rel);',
            'x=1 /\\ y=1'), 'allowed'),
        ('two writes each, seq_cst', two('W(x, 1, sc); W(y, 2, sc);', 'W(y, 1, sc); W(x, 2, sc);', 'x=1 /\\ y=1'),
         'forbidden'),
        ('coherence of reads', two('W(x, 1, rlx); W(x, 2, rlx);', 'int a = R(x, rlx); int b = R(x, rlx);',
            '1:a=2 /\\ 1:b=1'), 'forbidden'),
        ('causality over three threads', two('W(x, 1, rlx);', ['int a = R(x, rlx); W(y, 1, rel);',
            'int a = R(y, acq); int b = R(x, rlx);'], '1:a=1 /\\ 2:a=1 /\\ 2:b=0'), 'forbidden'),
        ('lost update', two('int a = ADD(x, 1, rlx);', 'int a = ADD(x, 1, rlx);', '0:a=0 /\\ 1:a=0'), 'forbidden'),
        # Figure 2 of the paper: the implementation on Power allows it, so the repaired model does.
        ('Z6.U', two('W(x, 1, sc); W(y, 1, rel);', ['ADD(y, 1, sc); int a = R(y, rlx);',
            'W(y, 3, sc); int a = R(x, sc);'], '1:a=3 /\\ 2:a=0 /\\ y=3'), 'allowed'),
    ]
    faults = []
    for name, test, wanted in known:
        found = outcome(test)
        print(f'{name:45} {found}')
        if found != wanted:
            faults.append(f'{name}: {found} instead of {wanted}')
    return faults


def registers_of(lines):
    return sorted({match[1] for line in lines if (match := re.match(r'int (\w+) = ', line))})


def functions(test, relaxed):
    """The threads as C functions, and the outcome; relaxed: as controls, without any order."""
    name, out = test.name + ('_relaxed' if relaxed else ''), []
    places = list(test.start)
    for thread, (parameters, lines) in enumerate(test.threads):
        names = registers_of(lines)
        out.append(f'static void {name}_P{thread}(cell *const *cells, size_t at, int *registers)\n{{')
        for parameter in parameters.split(','):
            kind, place = parameter.replace('*', '').split()
            field = 'atomic' if kind == 'atomic_int' else 'plain'
            pointer = f'atomic_int *{place}' if kind == 'atomic_int' else f'int *{place}'
            out.append(f'    {pointer} = &cells[{places.index(place)}][at].{field};')
        out += [f'    int {register} = -1;' for register in names]
        for line in lines:
            code = re.sub(r'^int ', '', line.partition('//')[0].strip())
            out.append('    ' + (re.sub(r'memory_order_\w+', 'memory_order_relaxed', code) if relaxed else code))
        out += [f'    registers[{at}] = {register};' for at, register in enumerate(names)]
        out.append('}')
    condition = test.exists.replace('/\\', '&&').replace('\\/', '||')
    condition = re.sub(r'(?<![=!])=(?!=)', '==', condition)
    condition = re.sub(r'(\d+):(\w+)', lambda m: f'registers[{m[1]}][{registers_of(test.threads[int(m[1])][1]).index(m[2])}]',
                       condition)
    for at, place in enumerate(places):
        condition = re.sub(rf'(?<![\w\[]){place}\b', f'last[{at}]', condition)
    out.append(f'static bool {name}_seen(int (*registers)[REGISTERS], const int *last)\n{{')
    out.append(f'    (void)registers, (void)last;\n    return {condition};\n}}')
    return '\n'.join(out)


def program():
    print('/* Made by check.py. */')
    rows = []
    for test in tests():
        start = ', '.join(map(str, test.start.values()))
        kinds = {m[1]: m[0] for parameters, _ in test.threads for m in re.findall(r'(\w+) ?\* ?(\w+)', parameters)}
        plain = ', '.join('true' if kinds.get(place) == 'int' else 'false' for place in test.start)
        row = []
        for relaxed in (False, True):
            print(functions(test, relaxed))
            name = test.name + ('_relaxed' if relaxed else '')
            calls = ', '.join(f'{name}_P{i}' for i in range(len(test.threads)))
            row.append(f'{{ {{ {calls} }}, {name}_seen }}')
        rows.append(f'    {{ "{test.name}", {len(test.threads)}, {len(test.start)}, {{ {start} }}, {{ {plain} }},\n'
                    f'        {row[0]},\n        {row[1]} }},')
    print('static const shape shapes[] = {\n' + '\n'.join(rows) + '\n};')
    return []


def main():
    commands = {'prove': prove, 'classics': classics, 'program': program}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    faults = commands[sys.argv[1]]()
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(bool(faults))


if __name__ == '__main__':
    main()
