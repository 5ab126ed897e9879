package testenv

var Remedy = remedy
