package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
)

// proxy stands between the consumer and the engine, in this process, and takes the inserts aside: what the consumer checks and asks is answered by the
// real tables, for it refuses others.
type proxy struct {
	addr string
	srv  *http.Server
}

// insertHandler answers an insert; it can pass it on to the engine.
type insertHandler func(w http.ResponseWriter, r *http.Request, engine http.Handler)

// discard answers an insert as soon as it has read it.
func discard(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("X-ClickHouse-Summary", `{"written_rows":"1000000000"}`)
}

var intoAudit = regexp.MustCompile(`^INSERT INTO audit\.`)

// intoNull sends an insert on to the tables of the same names that keep nothing.
func intoNull(w http.ResponseWriter, r *http.Request, engine http.Handler) {
	q := r.URL.Query()
	q.Set("query", intoAudit.ReplaceAllString(q.Get("query"), "INSERT INTO "+nullDatabase+"."))
	r.URL.RawQuery = q.Encode()
	engine.ServeHTTP(w, r)
}

func startProxy(engineURL string, insert insertHandler) (*proxy, error) {
	to, err := url.Parse(engineURL)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	engine := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	p := &proxy{addr: "http://" + ln.Addr().String()}
	p.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if intoAudit.MatchString(r.URL.Query().Get("query")) {
			insert(w, r, engine)
			return
		}
		engine.ServeHTTP(w, r)
	})}
	go func() { _ = p.srv.Serve(ln) }()
	return p, nil
}

func (p *proxy) close() { _ = p.srv.Close() }
