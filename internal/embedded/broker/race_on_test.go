//go:build race

package broker

// raceDetector multiplies the memory that a program takes.
const raceDetector = true
