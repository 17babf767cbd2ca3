package ops

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler answers /livez, /readyz and /metrics, and everything else with a problem.
func Handler(reg *prometheus.Registry, h *Health) http.Handler {
	mux := http.NewServeMux()
	get := func(path string, handler http.Handler) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				w.Header().Set("Allow", "GET, HEAD")
				refuse(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed", "this path answers GET and HEAD")
				return
			}
			handler.ServeHTTP(w, r)
		})
	}
	get("/livez", http.HandlerFunc(h.Live))
	get("/readyz", http.HandlerFunc(h.Ready))
	get("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusNotFound, "not_found", "Not found", "there is no such path: this service has /livez, /readyz and /metrics")
	})
	return mux
}
