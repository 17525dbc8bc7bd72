"""What is said after an arm's name."""

#: Said after an arm's name: the same from donors whose statistics were absorbed.
ABSORBED = ", absorbed"
#: And from donors whose last BatchNorm was left as it is.
BODY_ABSORBED = ", body absorbed"
#: Said last: what makes the weights trains at the smaller rate.
SMALLER_RATE = ", smaller rate"
