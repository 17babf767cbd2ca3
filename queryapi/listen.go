package queryapi

import (
	"fmt"
	"net"
	"net/netip"
)

// CheckListen refuses a listen address that others than this machine can reach. There are no accounts yet, so whoever connects reads the whole trail;
// insecureNoAuth says that the operator wants just that.
func CheckListen(addr string, insecureNoAuth bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen address %q is not HOST:PORT", addr)
	}
	if insecureNoAuth || IsLoopback(host) {
		return nil
	}
	return fmt.Errorf("listen address %q can be reached from other machines, and requests are not authenticated: "+
		"listen on 127.0.0.1, or allow it with --insecure-no-auth", addr)
}

// IsLoopback says whether host, a name or an address without port and brackets, is this machine whatever a name server answers.
func IsLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
