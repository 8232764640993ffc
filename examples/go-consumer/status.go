package main

// What the kinds mean for a status: the table of docs/guides/consuming-events.md.
var (
	ends = map[string]string{
		"WorkflowCompleted":  "completed",
		"WorkflowFailed":     "failed",
		"WorkflowCancelled":  "cancelled",
		"WorkflowTerminated": "cancelled",
		"WorkflowPaused":     "paused",
	}
	opens = map[string]string{
		"PositionUpdated": "in_progress",
		"DelayStarted":    "waiting",
		"SignalAwaited":   "awaiting_signal",
	}
	closes = map[string]bool{
		"TaskCompleted":  true,
		"RouteChosen":    true,
		"DelayElapsed":   true,
		"SignalConsumed": true,
		"SignalTimedOut": true,
	}
)

// instance is what its events say of its status.
type instance struct {
	started  bool
	workflow string
	phase    string
	held     string
	waits    map[string]string
}

func (i *instance) fold(e event) {
	switch {
	case e.kind == "WorkflowStarted":
		*i = instance{started: true, workflow: e.workflow, waits: map[string]string{}}
	case e.kind == "InstanceQuarantined":
		i.held, i.phase = i.phase, "quarantined"
	case e.kind == "InstanceReleased":
		i.phase = i.held
	case e.kind == "CompensationStarted":
		i.phase, i.waits = "", map[string]string{}
	case ends[e.kind] != "":
		i.phase = ends[e.kind]
	case e.kind == "WorkflowUnpaused" || e.kind == "WorkflowRetried":
		i.phase = ""
	case opens[e.kind] != "":
		i.waits[e.path] = opens[e.kind]
	case closes[e.kind]:
		delete(i.waits, e.path)
	}
}

func (i *instance) status() string {
	if i.phase != "" {
		return i.phase
	}
	for _, status := range []string{"in_progress", "waiting", "awaiting_signal"} {
		for _, wait := range i.waits {
			if wait == status {
				return status
			}
		}
	}
	return "in_progress"
}
