// Package certs makes TLS configurations of clients from PEM files. It knows nothing of the servers that they talk to.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Trust returns a configuration that trusts the authorities whose certificates are in caFile, or the system's when it is empty.
func Trust(caFile string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read the authorities' certificates: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", caFile)
	}
	return c, nil
}

// Present makes c show the certificate in certFile, whose private key is in keyFile, to servers that ask for one.
func Present(c *tls.Config, certFile, keyFile string) error {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return fmt.Errorf("load the client certificate %s with the key %s: %w", certFile, keyFile, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return nil
}
