package http

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/audittrail/audittrail/queryapi"
)

// guard refuses what a web page of somebody else could have made a browser on this machine send. Without accounts, being on this machine is the only
// right that a caller has, and such a page has it too: by a name of its own that resolves to 127.0.0.1 (the Host header tells), or by plain
// cross-site requests (the Origin and Sec-Fetch-Site headers tell).
func (s *server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if !s.opt.InsecureNoAuth && !isOwnHost(r.Host) {
			return &queryapi.Error{
				Code:   queryapi.CodeForeignHost,
				Detail: fmt.Sprintf("the host %.80q is not served: use localhost or 127.0.0.1", r.Host),
			}
		}
		if isCrossSite(r) {
			return &queryapi.Error{Code: queryapi.CodeCrossSite, Detail: "requests from web pages of another origin are refused"}
		}
		return next(c)
	}
}

// isOwnHost says whether a Host header names this machine.
func isOwnHost(host string) bool {
	if h, port, err := net.SplitHostPort(host); err == nil {
		if strings.Trim(port, "0123456789") != "" {
			return false
		}
		host = h
	} else if v6, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(v6, "]")
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is6() {
			return false
		}
	}
	return queryapi.IsLoopback(strings.ToLower(host))
}

// isCrossSite says whether a browser sent the request for a page of another origin. Browsers always say so in one of two ways; other clients say nothing.
func isCrossSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
}
