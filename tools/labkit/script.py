"""The conversation: patterns awaited in order, and what is typed when they come."""


class Track:
    """Steps in order on one kind of stream. Text is matched from where the last match ended."""

    KEPT = 1 << 18  # a step looks back no further than this

    def __init__(self, name, steps):
        self.name = name
        self.steps = list(steps)
        self.done = 0
        self.text = {}  # node -> text not yet matched

    def feed(self, node, text):
        """Takes text of one node; returns what to type there."""
        self.text[node] = (self.text.get(node, "") + text)[-self.KEPT :]
        typed = []
        while self.done < len(self.steps):
            step = self.steps[self.done]
            found = step.pattern.search(self.text[node])
            if not found:
                break
            self.text[node] = self.text[node][found.end() :]
            self.done += 1
            if step.text:
                typed.append(step.text)
        return typed

    def unmet(self):
        return self.steps[self.done] if self.done < len(self.steps) else None

    def report(self):
        step = self.unmet()
        if not step:
            return None
        return f"{self.name} never showed {step} (expectation {self.done + 1} of {len(self.steps)})"


class Script:
    """
    Console and hypervisor log are awaited side by side, each in its own order. A log step may be met
    by any node; the steps after it look at what each node says later.
    """

    def __init__(self, options):
        self.tracks = {
            "console": Track("the guest's console", options.steps),
            "log": Track("the hypervisor's log", options.log_steps),
        }
        self.fail = options.fail
        self.kill = list(options.kill)
        self.doomed = []  # nodes whose power is to be cut
        self.recent = {}
        self.failure = None
        self.running = {f"node{node}" for node in range(options.nodes)} if options.expect_halt else set()
        self.asked = bool(options.steps or options.log_steps or options.expect_halt)

    def feed(self, stream, text):
        """Returns the texts to type at the stream's node."""
        self.watch(stream, text)
        return self.tracks[stream.kind].feed(stream.node, text)

    def watch(self, stream, text):
        """Looks for what ends the run or a node, across the pieces in which text comes."""
        if not self.fail and not self.kill:
            return
        key = (stream.node, stream.kind)
        text = self.recent.get(key, "") + text
        for pattern in self.fail:
            if pattern.search(text) and not self.failure:
                self.failure = f"{stream.node} showed /{pattern.pattern}/"
        for step in list(self.kill):
            if step.pattern.search(text):
                self.kill.remove(step)
                self.doomed.append(int(step.text))
        self.recent[key] = text[text.rfind("\n") + 1 :]

    def halted(self, node):
        """The node has said its last word."""
        self.running.discard(node)

    def met(self):
        return self.asked and not self.running and not any(track.unmet() for track in self.tracks.values())

    def unmet_sentences(self):
        sentences = [track.report() for track in self.tracks.values() if track.unmet()]
        return sentences + [f"{node} never halted" for node in sorted(self.running)]
