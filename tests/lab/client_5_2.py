import sys
from socket import *

serverName = sys.argv[1]
serverPort = int(sys.argv[2])
#creating socket
clientSocket = socket(AF_INET, SOCK_STREAM)

clientSocket.connect((serverName, serverPort))

integernum = input('Enter a integer number: ')
operation = input('Enter operation name (prime/palindrome): ')

#sending integer and operation to the server
data = f"{integernum} {operation}"
clientSocket.send(data.encode())

result = clientSocket.recv(1024).decode()
print(f"Result from server: {result}")

clientSocket.close()
