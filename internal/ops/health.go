package ops

import (
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"
)

// errStarting is the reason of a check that nobody has set yet.
var errStarting = errors.New("starting")

// Health collects what is not ready in a service. The zero value is usable and ready. It is safe for concurrent use.
type Health struct {
	mu     sync.Mutex
	checks map[string]error
}

// Check is one named condition of a service's readiness.
type Check struct {
	health *Health
	name   string
}

// Check adds a condition, which does not hold until Set(nil).
func (h *Health) Check(name string) Check {
	c := Check{h, name}
	c.Set(errStarting)
	return c
}

// Set says that the condition holds (nil) or why not.
func (c Check) Set(err error) {
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	if c.health.checks == nil {
		c.health.checks = make(map[string]error)
	}
	c.health.checks[c.name] = err
}

// NotReady returns one line for each condition that does not hold, sorted; none when the service is ready.
func (h *Health) NotReady() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for name, err := range h.checks {
		if err != nil {
			out = append(out, fmt.Sprintf("%s: %s", name, err))
		}
	}
	sort.Strings(out)
	return out
}

// Live answers 200 as long as the process serves at all.
func (h *Health) Live(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// Ready answers 200 when every condition holds, else 503 with what does not.
func (h *Health) Ready(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if not := h.NotReady(); len(not) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, strings.Join(not, "\n"))
		return
	}
	fmt.Fprintln(w, "ok")
}
