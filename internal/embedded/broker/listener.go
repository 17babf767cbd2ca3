package broker

import (
	"errors"
	"net"
	"time"
)

// patientListener goes on after a failed Accept: kfake stops listening for good, even when the process was merely out of file descriptors for a moment.
type patientListener struct{ net.Listener }

func (l patientListener) Accept() (net.Conn, error) {
	for delay := 5 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		conn, err := l.Listener.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		time.Sleep(delay)
	}
}
